"""The command: a process that starts, serves, and ends as it should."""

import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2
import pytest

from segtune.cli import main


def test_what_openapi_allows_and_what_it_does_not_make_no_server_error(address, tmp_path):
    """schemathesis sends what it finds in the OpenAPI document, spoiled, too, and compares the answers with it."""
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--checks", checks,
        "--max-examples", "40", "--phases", "examples,coverage,fuzzing", "--seed", "1", "--no-color",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "5 passed" in result.stdout
    assert "Warnings" not in result.stdout


def test_sigterm_finishes_what_runs(serving, trained_run, picture_file):
    answers = []
    with serving(trained_run / "model.safetensors", "--backend", "eager", "--tta", "flip+scale") as (address, process):
        assert httpx2.post(f"{address}/v1/predict", files={"image": ("x", picture_file())}).status_code == 200

        def ask():
            files = {"image": ("x", picture_file(500, 500))}
            answers.append(httpx2.post(f"{address}/v1/predict", files=files, timeout=120).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        while "segtune_answering 1.0" not in httpx2.get(f"{address}/metrics").text:
            assert asking.is_alive(), "it was answered before it was seen"
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert process.wait(60) == 0
    assert answers == [200]


def test_an_upload_that_does_not_come_is_ended(serving, trained_run):
    with serving(trained_run / "model.safetensors", "--backend", "eager", "--timeout", "1") as (address, _):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            head = (
                f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
            )
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_token_comes_from_the_environment(serving, trained_run):
    with serving(trained_run / "model.safetensors", "--backend", "eager", SEGTUNE_TOKEN="hidden") as (address, _):
        assert httpx2.get(f"{address}/v1/model").status_code == 401
        sent = {"Authorization": "Bearer hidden"}
        assert httpx2.get(f"{address}/v1/model", headers=sent).status_code == 200
        behind_a_proxy = {**sent, "Host": "segmentation.example"}
        assert httpx2.get(f"{address}/v1/model", headers=behind_a_proxy).status_code == 200


def test_the_default_is_for_this_machine_alone(address):
    assert address.startswith("http://127.0.0.1:")
    assert httpx2.get(f"{address}/healthz", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--port", "99999"], "no port 99999"),
        (["--host", "no.such.host.invalid"], "can't be listened on"),
        (["--max-waiting", "0"], "no number above 0"),
        (["--timeout", "inf"], "no number above 0"),
        (["--max-megabytes", "nan"], "no number above 0"),
        (["--host", "127..1"], "can't be listened on"),
        (["--sample", "missing.jpg"], "missing.jpg"),
        (["--token", "schlüssel"], "ASCII"),
    ],
)
def test_what_cannot_be_served_is_told(trained_run, options, told, capsys):
    assert main(["serve", str(trained_run / "model.safetensors"), "--backend", "eager", *options]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_port_in_use_is_told(trained_run, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert main(["serve", str(trained_run / "model.safetensors"), "--backend", "eager", "--port", port]) == 2
    assert "--port" in capsys.readouterr().err


def test_missing_model_is_told(tmp_path, capsys):
    assert main(["serve", str(tmp_path / "none.safetensors")]) == 2
    assert "There is no model file" in capsys.readouterr().err

"""The command 'segtune serve': a model behind a page and an API."""

import ipaddress
import math
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from segtune.config import ServeConfig
from segtune.console import messages, output
from segtune.errors import UserError, install
from segtune.prediction.predictor import PredictOptions, load

TOKEN_VARIABLE = "SEGTUNE_TOKEN"


def serve(config: ServeConfig) -> None:
    """Serve until told to stop; what runs then is finished.

    Raises:
        UserError: The extra is not installed, or the model, the sample or the place can't be used.
    """
    try:
        import uvicorn

        from segtune.serving.app import Limits, make_app
        from segtune.serving.connections import timed_protocol
        from segtune.serving.guard import LOOPBACK
    except ModuleNotFoundError as error:
        raise UserError(f"The server needs {error.name}.", install("serve")) from error
    given = config.max_megabytes, config.max_megapixels, config.max_waiting, config.max_batch, config.timeout
    if not all(0 < number < math.inf for number in given) or min(given[:2]) < 1e-6:
        raise UserError("A limit is no number above 0.", "See: segtune serve --help")
    limits = Limits(
        int(config.max_megabytes * 1e6), int(config.max_megapixels * 1e6), config.max_waiting, config.max_batch,
        config.timeout,
    )  # fmt: skip
    token = config.token or os.environ.get(TOKEN_VARIABLE, "")
    if not (token.isascii() and token.isprintable()):
        raise UserError("The token has letters that a header can't carry.", "Use ASCII letters and digits.")
    is_local = _is_loopback(config.host)
    if not is_local and not token:
        messages.print(
            f"Warning: anyone who can reach {config.host} can use this server. Give --token, or set {TOKEN_VARIABLE}.",
            style="yellow",
        )
    predictor = load(config.model, config.device, PredictOptions(tta=config.tta), config.backend)
    sample = _sample(config.sample)
    # It takes longer, as it chooses how to compute; and where it fails, it does so before anybody asks.
    predictor.predict(np.zeros((64, 64, 3), np.uint8))
    listener = _listen(config.host, config.port)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    # A token keeps others' pages out as well, and a reverse proxy asks for names of its own.
    hosts = (*LOOPBACK, shown) if is_local and not token else ()
    app = make_app(predictor, config.model.name, sample, limits, token, hosts)
    output.print(f"Serving {config.model.name} at http://{shown}:{port} – Ctrl-C ends it")
    server = uvicorn.Server(
        uvicorn.Config(
            app, http=timed_protocol(limits.seconds), log_level="warning", access_log=False, server_header=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=int(2 * limits.seconds) + 1, limit_concurrency=8 * limits.max_waiting + 64,
        )
    )  # fmt: skip
    # When all is answered, uvicorn sends itself the signal that ended it: that is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with listener, suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UserError(f"There is no port {port}.", "Expected: 0 to 65535; 0 is any that is free.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family)  # from now on who connects waits, and is not sent away
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"{host}, port {port} can't be listened on: {error}.", "Choose another --port or --host."
        ) from error


def _sample(path: Path | None) -> bytes:
    """A picture for those who have none at hand, as JPEG: the one named, or a drawn one."""
    from segtune.pictures import jpeg, read_picture

    if path is not None:
        picture = read_picture(path)
    else:
        from segtune.demo.scenes import draw_scene

        picture = draw_scene(np.random.default_rng(7), 360, 480).image
    return jpeg(picture)

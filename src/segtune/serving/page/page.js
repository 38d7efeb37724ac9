"use strict";
// The page keeps what it shows in `entries`; the server keeps nothing.

const at = (id) => document.getElementById(id);
const entries = [];
let current = null;
let token = "";
const HOW_TO_POINT = at("here").textContent;
const hidden = new Set(); // ids of classes that are switched off

async function call(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const answer = await fetch(path, { ...options, headers });
    if (answer.status === 401) {
      await askToken(token ? "The server did not take that token." : "");
      continue;
    }
    if (answer.status === 503 && answer.headers.get("Retry-After")) {
      say(`The server is busy; trying again in ${answer.headers.get("Retry-After")} s`, "busy");
      await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After"))));
      continue;
    }
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Error(problem.detail || `The server answered ${answer.status}.`);
    }
    return answer;
  }
}

function askToken(problem) {
  const dialog = at("ask-token");
  at("token-problem").textContent = problem;
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => { token = at("token").value; done(); }, { once: true });
  });
}

function say(text, kind = "") {
  at("status").textContent = text;
  at("status").className = kind;
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function add(files) {
  const added = [...files].map((file) => ({ file, name: file.name || "pasted.png", result: null, error: "" }));
  for (const entry of added) {
    entries.push(entry);
    addThumbnail(entry);
  }
  for (const entry of added) {
    await predict(entry);
    const isFirst = entry === added[0] && !added.includes(current);
    if (isFirst || entry === current || current?.error) show(entry);
  }
}

function addThumbnail(entry) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = entry.name;
  button.title = entry.name;
  button.addEventListener("click", () => show(entry));
  entry.button = button;
  const item = document.createElement("li");
  item.append(button);
  at("pictures").append(item);
}

async function predict(entry) {
  say(`Predicting ${entry.name}`, "busy");
  try {
    const query = "include=polygons,class_ids,confidence,labels,picture";
    const body = new FormData();
    body.append("image", entry.file, entry.name);
    const found = await (await call(`v1/predict?${query}`, { method: "POST", body })).json();
    found.ids = await unpack(found.class_ids);
    found.sure = found.confidence ? await unpack(found.confidence) : null; // a model may put out class ids alone
    // As the server read it: turned as its EXIF data say, and in formats that browsers don't know.
    found.bitmap = await createImageBitmap(new Blob([bytes(found.picture)], { type: "image/jpeg" }));
    entry.result = found;
    const image = document.createElement("img");
    image.src = `data:image/jpeg;base64,${found.picture}`;
    image.alt = entry.name;
    entry.button.replaceChildren(image);
    say(`${entry.name}: ${found.width} × ${found.height}, predicted in ${found.seconds.toFixed(2)} s`);
  } catch (error) {
    entry.error = `${entry.name}: ${error.message}`;
    entry.button.classList.add("failed");
    say(entry.error, "error");
  }
}

function show(entry) {
  current = entry;
  for (const other of entries) other.button.setAttribute("aria-current", String(other === entry));
  at("result").hidden = !entry.result;
  if (!entry.result) {
    say(entry.error || `${entry.name} waits for its turn`, entry.error ? "error" : "busy");
    return;
  }
  const { width, height, bitmap, classes, seconds } = entry.result;
  say(`${entry.name}: ${width} × ${height}, predicted in ${seconds.toFixed(2)} s`);
  for (const canvas of [at("picture"), at("overlay")]) Object.assign(canvas, { width, height });
  at("picture").getContext("2d").drawImage(bitmap, 0, 0);
  cursor = { x: Math.floor(width / 2), y: Math.floor(height / 2) };
  at("cursor").hidden = true;
  at("here").textContent = HOW_TO_POINT;
  listClasses(classes);
  paint();
}

function listClasses(classes) {
  const items = classes.toSorted((one, other) => other.share - one.share).map((entry) => {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !hidden.has(entry.id) });
    box.addEventListener("change", () => { hidden[box.checked ? "delete" : "add"](entry.id); paint(); });
    const swatch = document.createElement("canvas"); // a style attribute is not allowed here
    swatch.className = "swatch";
    Object.assign(swatch, { width: 16, height: 16 });
    const brush = swatch.getContext("2d");
    brush.fillStyle = entry.color;
    brush.fillRect(0, 0, 16, 16);
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: entry.name });
    const share = Object.assign(document.createElement("span"), { className: "share" });
    share.textContent = entry.pixels ? `${(100 * entry.share).toFixed(1)} %` : "–";
    label.classList.toggle("absent", !entry.pixels);
    label.append(box, swatch, name, share);
    const item = document.createElement("li");
    item.append(label);
    return item;
  });
  at("classes").replaceChildren(...items);
}

function colored(opacity) {
  const { width, height, ids, classes } = current.result;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(256);
  for (const { id, color } of classes) {
    if (hidden.has(id)) continue;
    const rgb = parseInt(color.slice(1), 16);
    table[id] = ((Math.round(255 * opacity) << 24) | ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16)) >>> 0;
  }
  for (let place = 0; place < ids.length; place++) pixels[place] = table[ids[place]];
  return image;
}

function paint() {
  at("opacity-shown").textContent = `${at("opacity").value} %`;
  // Its pixels are written, never drawn: they need not go by way of the graphics card.
  const brush = at("overlay").getContext("2d", { willReadFrequently: true });
  if (current?.result) brush.putImageData(colored(at("opacity").value / 100), 0, 0);
}

let cursor = { x: 0, y: 0 };

function tell(x, y, withCursor) {
  const { width, height, ids, sure, classes } = current.result;
  cursor = { x: Math.min(width - 1, Math.max(0, x)), y: Math.min(height - 1, Math.max(0, y)) };
  const place = cursor.y * width + cursor.x;
  const name = classes[ids[place]]?.name ?? "no class";
  const confidence = sure ? `, ${Math.round(sure[place] / 2.55)} % sure` : "";
  at("here").textContent = `${name}${confidence} (x ${cursor.x}, y ${cursor.y})`;
  const mark = at("cursor");
  mark.hidden = !withCursor;
  const box = at("overlay").getBoundingClientRect();
  mark.style.left = `${((cursor.x + 0.5) / width) * box.width}px`;
  mark.style.top = `${((cursor.y + 0.5) / height) * box.height}px`;
}

at("view").addEventListener("pointermove", (event) => {
  if (!current?.result) return;
  const box = at("overlay").getBoundingClientRect();
  const { width, height } = current.result;
  tell(Math.floor(((event.clientX - box.left) / box.width) * width),
       Math.floor(((event.clientY - box.top) / box.height) * height), false);
});

at("view").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!steps || !current?.result) return;
  event.preventDefault();
  const far = event.shiftKey ? 1 : Math.max(1, Math.round(current.result.width / 50));
  tell(cursor.x + far * steps[0], cursor.y + far * steps[1], true);
});

at("opacity").addEventListener("input", paint);
at("all").addEventListener("click", () => switchAll(true));
at("none").addEventListener("click", () => switchAll(false));

function switchAll(on) {
  hidden.clear();
  if (!on) current.result.classes.forEach(({ id }) => hidden.add(id));
  listClasses(current.result.classes);
  paint();
}

function download(content, type, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = current.name.replace(/\.[^.]*$/, "") + ending;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

at("save-labels").addEventListener("click", () => download(bytes(current.result.labels), "image/png", "-labels.png"));
at("save-polygons").addEventListener("click", () =>
  download(JSON.stringify(current.result.polygons), "application/geo+json", "-polygons.geojson"));
at("save-overlay").addEventListener("click", async () => {
  const { width, height, bitmap } = current.result;
  const whole = new OffscreenCanvas(width, height);
  const brush = whole.getContext("2d");
  brush.drawImage(bitmap, 0, 0);
  brush.drawImage(await createImageBitmap(colored(at("opacity").value / 100)), 0, 0);
  download(await whole.convertToBlob({ type: "image/png" }), "image/png", "-overlay.png");
});

at("files").addEventListener("change", (event) => {
  add([...event.target.files]);
  event.target.value = "";  // so that the same picture may be chosen again
});
at("sample").addEventListener("click", async () => {
  const answer = await fetch("sample");
  add([new File([await answer.blob()], "sample.jpg", { type: "image/jpeg" })]);
});
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
  if (files.length) add(files);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) add(event.dataTransfer.files);
  });
}

call("v1/model").then((answer) => answer.json()).then((model) => {
  const score = model.scores.mean_iou === undefined ? "" : `, mean IoU ${model.scores.mean_iou.toFixed(3)}`;
  at("model").textContent = `${model.name} – ${model.architecture}, ${model.classes.length} classes${score}`;
}).catch((error) => say(error.message, "error"));

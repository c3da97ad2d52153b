// Sections of one task and one model are shown at a time; without scripts, all of them are.
const chosen = (name) => document.querySelector(`.choices input[name="${name}"]:checked`)?.value;
const showChosen = () => {
  const [task, model] = [chosen("task"), chosen("model")];
  const fits = (element) => (!task || element.dataset.task === task) && (!model || !element.dataset.model || element.dataset.model === model);
  let shown = null;
  document.querySelectorAll(".panel, .of-task").forEach((element) => {
    element.hidden = !fits(element);
    if (!element.hidden && element.classList.contains("panel")) shown = element;
  });
  document.getElementById("no-panel").hidden = shown !== null;
  const first = shown?.querySelector('button.choose[aria-pressed="true"]');
  if (first) placeViewer(first);
};

const ramp = [[200, 206, 214], [230, 159, 0], [213, 94, 0], [138, 28, 42]];
const colourAt = (share) => {
  const place = Math.min(Math.max(share, 0), 1) * (ramp.length - 1);
  const low = Math.min(Math.floor(place), ramp.length - 2);
  const mixed = ramp[low].map((value, channel) => Math.round(value + (ramp[low + 1][channel] - value) * (place - low)));
  return mixed.reduce((number, value) => number * 256 + value, 0);
};

const worstOf = pageData().worst;
const stage = document.getElementById("stage");
const frameOf = document.getElementById("viewer");
let viewer = null;
let current = null;

const paper = () => getComputedStyle(document.documentElement).getPropertyValue("--panel").trim();
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();

// The drawing library is started when the viewer first comes near the screen.
const whenNear = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) { whenNear.disconnect(); startViewer(); }
}, { rootMargin: "300px" });

const placeViewer = (button) => {
  const slot = document.querySelector(`[data-slot="${button.dataset.panel}"]`);
  if (frameOf.parentElement !== slot) slot.append(frameOf); // moving it would take the focus from it
  frameOf.hidden = false;
  current = button;
  if (viewer) { viewer.resize(); drawStructure(); } else { describe(); whenNear.observe(stage); }
};

const startViewer = () => {
  try {
    viewer = $3Dmol.createViewer(stage, { backgroundColor: paper(), antialias: true });
  } catch (problem) {
    viewer = null;
  }
  if (!viewer) {
    stage.textContent = "This browser has no WebGL, so structures cannot be drawn. Their errors stand below.";
    return;
  }
  drawStructure();
};

const structure = () => worstOf[current.dataset.panel][Number(current.dataset.place)];
const largest = () => Math.max(...worstOf[current.dataset.panel].flatMap((each) => each.errors), 1e-9);
const elements = () => structure().xyz.split("\n").slice(2).map((line) => line.split(" ")[0]);

const describe = () => {
  const shown = structure();
  const names = elements();
  const order = shown.errors.map((error, place) => [error, place]).sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, 4);
  document.getElementById("viewer-title").textContent =
    `${shown.name}, ${shown.split} ${shown.trajectory} frame ${shown.frame}: force MAE ${shown.mae} meV/Å`;
  document.getElementById("viewer-text").textContent =
    `Largest errors: ${order.map(([error, place]) => `${names[place]} (atom ${place + 1}) ${error.toFixed(1)}`).join(", ")} meV/Å.`;
  document.getElementById("scale-end").textContent = largest().toFixed(0);
};

const drawStructure = () => {
  describe();
  const shown = structure();
  const top = largest();
  const names = elements();
  viewer.removeAllModels();
  viewer.removeAllLabels();
  viewer.setBackgroundColor(paper());
  const model = viewer.addModel(shown.xyz, "xyz");
  const colour = (atom) => colourAt(shown.errors[atom.index] / top);
  model.setStyle({}, { stick: { radius: 0.11, colorfunc: colour } });
  shown.errors.forEach((error, place) => {
    const radius = (names[place] === "H" ? 0.2 : 0.32) + 0.25 * Math.min(error / top, 1);
    model.setStyle({ index: place }, { stick: { radius: 0.11, colorfunc: colour }, sphere: { radius, colorfunc: colour } });
  });
  const worst = shown.errors.indexOf(Math.max(...shown.errors));
  const atoms = model.selectedAtoms({});
  atoms.forEach((atom) => {
    const isWorst = atom.index === worst;
    if (!isWorst && (names[atom.index] === "H" || names[atom.index] === "C")) return;
    viewer.addLabel(isWorst ? `${names[atom.index]} ${shown.errors[atom.index].toFixed(0)}` : names[atom.index], {
      position: { x: atom.x, y: atom.y, z: atom.z }, fontSize: 13, fontColor: ink(), backgroundColor: paper(),
      backgroundOpacity: isWorst ? 0.85 : 0.4, borderThickness: isWorst ? 1 : 0, borderColor: ink(), inFront: true,
      alignment: isWorst ? "bottomLeft" : "center", screenOffset: isWorst ? { x: 12, y: -12 } : undefined,
    });
  });
  fit();
  viewer.render();
};

// The library fits a sphere around the atoms, which leaves a small molecule small.
const fit = () => { viewer.zoomTo(); viewer.zoom(structure().errors.length < 16 ? 1.5 : 1.2); };

const choose = (button) => {
  document.querySelectorAll(`button.choose[data-panel="${button.dataset.panel}"]`).forEach((each) => {
    each.setAttribute("aria-pressed", String(each === button));
  });
  placeViewer(button);
};

const step = (by) => {
  const all = [...document.querySelectorAll(`button.choose[data-panel="${current.dataset.panel}"]`)];
  choose(all[(all.indexOf(current) + by + all.length) % all.length]);
};

const keys = {
  ArrowLeft: () => viewer.rotate(-15, "y"), ArrowRight: () => viewer.rotate(15, "y"),
  ArrowUp: () => viewer.rotate(-15, "x"), ArrowDown: () => viewer.rotate(15, "x"),
  "+": () => viewer.zoom(1.2), "=": () => viewer.zoom(1.2), "-": () => viewer.zoom(1 / 1.2),
  0: () => { viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]); fit(); },
  n: () => step(1), p: () => step(-1), N: () => step(1), P: () => step(-1),
};
stage.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !viewer || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
  viewer.render();
});

// A wheel that only passes by scrolls the page; it zooms once the viewer has the focus.
stage.addEventListener("pointerdown", () => stage.focus({ preventScroll: true }));
stage.addEventListener("wheel", (event) => {
  if (document.activeElement !== stage) event.stopPropagation();
}, { capture: true });

document.querySelectorAll("button.choose").forEach((button) => button.addEventListener("click", () => choose(button)));
document.querySelector(".choices")?.addEventListener("change", showChosen);
document.addEventListener("themechange", () => { if (viewer) drawStructure(); });
dark.addEventListener("change", () => { if (viewer) drawStructure(); });
window.addEventListener("resize", () => viewer?.resize());
showChosen();

const views = new Map();
let shown = [];

const chartTask = (name) => document.querySelector(`[data-chart="${name}"]`).closest(".panel")?.dataset.task;
// A logarithmic axis has no place for zero, nor for an interval that begins there.
const isPositive = (number) => number?.v > 0 && (number.l ?? number.v) > 0;
const drawable = (entry, task) => isPositive(numberOf(entry, task, "gap")) && isPositive(numberOf(entry, task, "id_force_mae"));
const SHAPED = ["from-scratch", "fine-tuned", "zero-shot", "control"];

const pointsOf = (task) => shown.filter((entry) => drawable(entry, task)).map((entry) => {
  const [gap, id] = [numberOf(entry, task, "gap"), numberOf(entry, task, "id_force_mae")];
  return {
    key: entry.key, kind: entry.kind, protocol: SHAPED.includes(entry.protocol) ? entry.protocol : "other",
    gap: gap.v, gapLow: gap.l ?? gap.v, gapHigh: gap.h ?? gap.v, id: id.v, idLow: id.l ?? id.v, idHigh: id.h ?? id.v,
    gapText: wholeText(gap, 2), idText: wholeText(id, 1), oodText: wholeText(numberOf(entry, task, "ood_force_mae"), 1),
    picked: entry.key === state.picked, label: "",
  };
});

const linesOf = (task) => {
  const control = board().control[task] > 0 ? board().control[task] : undefined;
  return [{ gap: 1, text: control !== undefined && Math.abs(Math.log(control)) < 0.1 ? "" : "no gap" },
    ...(control === undefined ? [] : [{ gap: control, text: `GFN1-xTB ${fixed(control, 2)}` }])];
};

// All panels have the same axes, which hold every interval of the board.
const axes = () => {
  const every = board().tasks.flatMap(({ name }) => board().entries.filter((entry) => drawable(entry, name)).map((entry) => [
    numberOf(entry, name, "id_force_mae"), numberOf(entry, name, "gap"),
  ]));
  const span = (place, ends) => {
    const numbers = every.map((pair) => pair[place]);
    const low = Math.min(ends[0], ...numbers.map((number) => number.l ?? number.v));
    const high = Math.max(ends[1], ...numbers.map((number) => number.h ?? number.v));
    return [low / 1.08, high * (place === 0 ? 1.25 : 1.08)];
  };
  const [[xMin, xMax], [yMin, yMax]] = [span(0, [20, 100]), span(1, [0.9, 1.5])];
  return { xMin, xMax, yMin, yMax };
};

// A name is drawn where it covers neither another name nor a point; the others are told by pointing at them.
const label = (points, view) => {
  const [x, y] = [view.scale("x"), view.scale("y")];
  const boxes = new Map(points.map((point) => [point, [x(point.id) - 6, y(point.gap) - 6, x(point.id) + 6, y(point.gap) + 6]]));
  const names = [];
  const first = (point) => (point.picked ? 0 : point.kind === "control" ? 1 : 2);
  for (const point of [...points].sort((a, b) => first(a) - first(b) || a.id - b.id)) {
    const name = point.key.split("/").at(-1);
    const left = x(point.id) + 5;
    const box = [left, y(point.gap) - 17, left + 6.4 * Math.min(name.length, 22), y(point.gap) - 4];
    const taken = [...names, ...[...boxes].filter(([other]) => other !== point).map(([, other]) => other)];
    const isFree = taken.every((other) => box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1]);
    if (point.picked || (isFree && box[2] < view.width())) {
      point.label = name;
      names.push(box);
    }
  }
  return points;
};

const feedGap = async (view, task) => {
  for (const [name, value] of Object.entries(axes())) view.signal(name, value);
  const points = pointsOf(task);
  view.signal("anyPicked", points.some((point) => point.picked));
  await view.data("points", points).data("lines", linesOf(task)).runAsync();
  await view.data("points", label(points, view).map((point) => ({ ...point }))).runAsync();
};

const feedErrors = (view) => {
  const entry = board().entries.find((each) => each.key === opened);
  if (entry === undefined) return;
  const points = board().tasks.flatMap(({ name, title }) => [["ID", "id_force_mae"], ["OOD", "ood_force_mae"]].map(([split, key]) => {
    const number = numberOf(entry, name, key);
    const task = title === name ? name : `${name} ${title}`;
    return { task, split, value: number?.v, low: number?.l ?? number?.v, high: number?.h ?? number?.v, text: wholeText(number, 1) };
  })).filter((point) => point.value > 0 && point.low > 0);
  view.data("points", points).runAsync();
};

const feed = (name) => {
  const view = views.get(name);
  if (view === undefined) return;
  const task = chartTask(name);
  if (task === undefined) feedErrors(view); else if (state.view === OVERALL || state.view === task) feedGap(view, task);
};
const feedAll = () => {
  for (const name of views.keys()) if (chartTask(name) !== undefined) feed(name);
  const hidden = shown.filter((entry) => Object.keys(entry.tasks).every((task) => !drawable(entry, task)));
  byId("not-drawn").textContent = hidden.length === 0 ? ""
    : `Not drawn, since they have no gap: ${hidden.map((entry) => entry.key).join(", ")}.`;
};

document.addEventListener("chartdrawn", ({ target, detail }) => {
  const name = target.dataset.chart;
  views.set(name, detail);
  if (chartTask(name) !== undefined) {
    detail.addEventListener("click", (event, item) => { if (item?.datum?.key) pick(item.datum.key, true); });
  }
  feed(name);
});

const showPanels = () => {
  const tasks = board().tasks.map((task) => task.name);
  const wanted = (task) => tasks.includes(task) && (state.view === OVERALL || state.view === task);
  document.querySelectorAll(".panel").forEach((panel) => { panel.hidden = !wanted(panel.dataset.task); });
  document.querySelector(".panels").classList.toggle("single", state.view !== OVERALL || tasks.length === 1);
  dispatchEvent(new Event("resize"));
};

const FILTERS = { protocol: (entry) => entry.protocol, evidence: (entry) => entry.evidence, family: (entry) => entry.family, level: (entry) => entry.level };
const ANY = "any";

const options = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));

const fillFilters = () => {
  for (const [name, read] of Object.entries(FILTERS)) {
    const values = [...new Set(board().entries.map(read).filter(Boolean))].sort((a, b) => a.localeCompare(b, "en"));
    const select = byId(`filter-${name}`);
    const before = select.value;
    options(select, [[ANY, ANY], ...values.map((value) => [`=${value}`, value])]);
    select.value = values.includes(before.slice(1)) ? before : ANY;
  }
};

const passes = (entry) => {
  const words = byId("filter-name").value.trim().toLowerCase();
  const least = byId("filter-speed").valueAsNumber;
  return (words === "" || entry.key.toLowerCase().includes(words))
    && Object.entries(FILTERS).every(([name, read]) => {
      const { value } = byId(`filter-${name}`);
      return value === ANY || value === `=${read(entry)}`;
    })
    && (Number.isNaN(least) || entry.speed >= least)
    && (entry.kind !== "control" || byId("filter-controls").checked);
};

const applyFilters = () => {
  const inView = board().entries.filter((entry) => state.view === OVERALL || entry.tasks[state.view] !== undefined);
  shown = inView.filter(passes);
  if (table.initialized) table.setFilter(passes);  // otherwise it is called again once the table is built
  const untimed = inView.filter((entry) => entry.speed === undefined).length;
  const said = Number.isNaN(byId("filter-speed").valueAsNumber) || untimed === 0 ? "" : `; ${untimed} have no recorded speed`;
  byId("count").textContent = `${shown.length} of ${inView.length} rows${said}`;
  feedAll();
};

const pick = (key, fromChart = false) => {
  state.picked = state.picked === key ? null : key;
  markRows();
  feedAll();
  if (fromChart && state.picked !== null) {
    table.scrollToRow(key, "center", false).catch(() => {});
    byId("table").scrollIntoView({ block: "nearest" });
  }
};

const drawViews = () => {
  const views = [[OVERALL, "All tasks"], ...board().tasks.map(({ name, title }) => [name, title === name ? name : `${name} ${title}`])];
  byId("views").replaceChildren(...views.map(([name, text]) => {
    const button = make("button", { type: "button", "aria-pressed": String(state.view === name), "data-view": name }, text);
    button.addEventListener("click", () => choose({ view: name }));
    return button;
  }));
};

const show = () => {
  if (state.view !== OVERALL && !board().tasks.some((task) => task.name === state.view)) state.view = OVERALL;
  byId("board").value = String(state.board);
  byId("board-note").textContent = [board().note, `content of the data: ${board().content}`].filter(Boolean).join("; ");
  drawViews();
  fillFilters();
  showPanels();
  drawTable();
};

const choose = (changes) => {
  Object.assign(state, changes);
  show();
  history.replaceState(null, "", addressOf({}));
};

// An address such as #model=painn or #task=task2; that of a section has no equals sign.
const followAddress = () => {
  if (location.hash !== "" && !location.hash.includes("=")) return;
  const words = new URLSearchParams(location.hash.slice(1));
  const model = words.get("model");
  const named = data.boards.findIndex((each) => each.title === words.get("data"));
  const holding = data.boards.findIndex((each) => each.entries.some((entry) => entry.key === model));
  const opening = data.boards[data.opensWith].entries.some((entry) => entry.key === model) ? data.opensWith : holding;
  const chosen = named >= 0 ? named : model !== null && opening >= 0 ? opening : data.opensWith;
  const view = words.get("task") ?? OVERALL;
  if (table === null || chosen !== state.board || view !== state.view) {
    Object.assign(state, { board: chosen, view });
    show();
  }
  openModel(model);
};

options(byId("board"), data.boards.map((each, place) => [
  String(place), `${each.title} (${each.entries.filter((entry) => entry.kind !== "control").length} models)`,
]));
byId("board").addEventListener("change", (event) => choose({ board: Number(event.target.value), picked: null }));
for (const name of ["name", "speed", ...Object.keys(FILTERS), "controls"]) byId(`filter-${name}`).addEventListener("input", applyFilters);
byId("reset").addEventListener("click", () => {
  byId("filter-name").value = byId("filter-speed").value = "";
  Object.keys(FILTERS).forEach((name) => { byId(`filter-${name}`).value = ANY; });
  byId("filter-controls").checked = true;
  Object.assign(state, { picked: null });
  show();
});
addEventListener("hashchange", followAddress);
followAddress();

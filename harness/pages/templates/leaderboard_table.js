let table = null;

// Missing numbers come last in both directions, and models, pull requests and controls stay apart.
const sorter = (read) => (first, second, firstRow, secondRow, column, direction) => {
  const [a, b] = [firstRow.getData(), secondRow.getData()];
  const back = direction === "desc" ? -1 : 1;
  const kinds = Object.keys(KINDS);
  if (a.kind !== b.kind) return back * (kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
  const [x, y] = [read(a), read(b)];
  if (x === undefined || y === undefined || x === y) {
    if ((x === undefined) !== (y === undefined)) return back * (x === undefined ? 1 : -1);
    return back * (a.order - b.order);
  }
  return typeof x === "string" ? x.localeCompare(y, "en") : x - y;
};

const cell = (draw) => (tabulatorCell) => {
  const found = draw(tabulatorCell.getRow().getData());
  return found instanceof Node ? found : document.createTextNode(found ?? "");
};

const small = (text, title = null) => make("span", { class: "cell-small", title }, text);

const numberCell = (number, digits) => {
  if (number === undefined) return make("span", {}, DASH);
  const interval = intervalText(number, digits);
  return make("span", {}, valueText(number, digits), small(interval || "no interval", interval ? null : number.why));
};

const column = (title, read, draw, more = {}) => ({
  title, field: more.field ?? title, sorter: sorter(read), formatter: cell(draw), hozAlign: "right", headerHozAlign: "right",
  headerSortStartingDir: "asc", minWidth: 70, ...more,
});
const textColumn = (title, read, draw = read, more = {}) =>
  column(title, (entry) => read(entry) || undefined, draw, { hozAlign: "left", headerHozAlign: "left", width: 120, ...more });

const scoreBar = (score, number) => {
  const bar = make("span", { class: "score-bar" }, make("i"));
  bar.firstChild.style.width = `${score}%`;
  return make("span", {}, number, bar);
};

// Beside each other in the table of all tasks; the spread between seeds is in the table of a task.
const scoreText = (number) => make("span", {}, number?.v === undefined ? DASH : fixed(number.v, 1),
  make("span", { class: "quiet-inline", title: number?.why ?? null }, ` ${intervalText(number, 1)}`));

// The gap is never without the ID error that it stands on.
const gapOnId = (entry, task) => {
  const [gap, id] = [numberOf(entry, task, "gap"), numberOf(entry, task, "id_force_mae")];
  return small(`gap ${valueText(gap?.v === undefined ? gap : { v: gap.v }, 2)} · ID ${id?.v === undefined ? DASH : fixed(id.v, 1)}`);
};

const rankColumn = (key) => column("#", (entry) => entry.ranks[key], (entry) => String(entry.ranks[key] ?? DASH), {
  width: 52, minWidth: 52, frozen: innerWidth > 700,
});

const nameColumn = () => textColumn("Model", (entry) => entry.key, (entry) => make(
  "span", {}, make("a", { class: "cell-name", href: addressOf({ model: entry.key }) }, entry.key),
  entry.kind === "control" ? make("span", {}, " ", make("span", { class: "badge" }, "control")) : null,
), { width: innerWidth > 700 ? 190 : 132, frozen: true });

const commonColumns = () => [
  textColumn("Protocol", (entry) => protocolText(entry), (entry) => make("span", {}, entry.protocol, small(entry.evidence ?? ""))),
  column("Seeds", (entry) => (entry.seeds ? parseInt(entry.seeds, 10) : undefined), (entry) => entry.seeds ?? DASH,
    { headerSortStartingDir: "desc" }),
  column("Structures per second", (entry) => entry.speed, (entry) => make("span", { title: entry.cost?.join(", ") ?? null },
    entry.speed === undefined ? DASH : speedText(entry.speed)), { headerSortStartingDir: "desc", width: 128 }),
  textColumn("Family", (entry) => entry.family, (entry) => entry.family ?? DASH),
  textColumn("Level of theory", (entry) => entry.level, (entry) => entry.level ?? "unknown", { width: 150 }),
  textColumn("Precision", (entry) => entry.dtype, (entry) => entry.dtype ?? DASH, { width: 90 }),
  textColumn("Source", (entry) => entry.origin, (entry) => make("span", { title: entry.source }, entry.origin), { width: 80 }),
];

const overallColumns = () => [
  rankColumn(OVERALL),
  nameColumn(),
  column("Overall score", (entry) => entry.overall?.v, (entry) => entry.overall === undefined
    ? make("span", {}, DASH, small("not all four tasks"))
    : scoreBar(entry.overall.v, valueText(entry.overall, 1)),
  { field: OVERALL, headerSortStartingDir: "desc", width: 112 }),
  ...board().tasks.map((task) => column(
    `${task.name} ${task.title === task.name ? "" : task.title}`, (entry) => numberOf(entry, task.name, "score")?.v,
    (entry) => (entry.tasks[task.name] === undefined ? make("span", {}, DASH, small("not measured"))
      : make("span", {}, scoreText(numberOf(entry, task.name, "score")), gapOnId(entry, task.name))),
    { field: task.name, headerSortStartingDir: "desc", width: 146 },
  )),
  ...commonColumns(),
];

const taskColumns = (task) => {
  const at = (name) => (entry) => numberOf(entry, task, name);
  const numbers = (title, name, digits, more) => column(
    title, (entry) => at(name)(entry)?.v, (entry) => numberCell(at(name)(entry), digits), { field: name, width: 118, ...more },
  );
  const has = (name) => board().entries.some((entry) => at(name)(entry) !== undefined);
  const gap = (entry) => {
    const found = numberCell(at("gap")(entry), 2);
    found.append(small(`at ID ${at("id_force_mae")(entry)?.v === undefined ? DASH : fixed(at("id_force_mae")(entry).v, 1)}`));
    return found;
  };
  const score = (entry) => {
    const number = at("score")(entry);
    return number?.v === undefined ? numberCell(number, 1) : scoreBar(number.v, numberCell(number, 1));
  };
  return [
    rankColumn(task),
    nameColumn(),
    column("Score", (entry) => at("score")(entry)?.v, score, { field: "score", headerSortStartingDir: "desc", width: 112 }),
    numbers("OOD force MAE, meV/Å", "ood_force_mae", 1),
    numbers("ID force MAE, meV/Å", "id_force_mae", 1),
    column("Gap, OOD / ID", (entry) => at("gap")(entry)?.v, gap, { field: "gap", width: 118 }),
    ...(has("near_force_mae") ? [numbers("near, meV/Å", "near_force_mae", 1)] : []),
    ...(has("far_force_mae") ? [numbers("far, meV/Å", "far_force_mae", 1)] : []),
    ...(has("ood_energy_mae") ? [numbers("OOD relative energy MAE, meV", "ood_energy_mae", 1)] : []),
    ...(has("id_energy_mae") ? [numbers("ID relative energy MAE, meV", "id_energy_mae", 1)] : []),
    ...commonColumns(),
  ];
};

const groupHeader = (kind, count) => make("span", {}, `${KINDS[kind]} (${count}) `, make("span", { class: "quiet" }, KIND_NOTES[kind]));

// The header of a column is a button for the keyboard too.
const keyboardHeaders = () => document.querySelectorAll("#table .tabulator-col.tabulator-sortable").forEach((header) => {
  header.tabIndex = 0;
  header.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    header.querySelector(".tabulator-col-content").click();
  });
});

const drawTable = () => {
  table?.destroy();
  const isOverall = state.view === OVERALL;
  const rows = board().entries.filter((entry) => isOverall || entry.tasks[state.view] !== undefined);
  table = new Tabulator("#table", {
    data: rows.map((entry) => ({ ...entry, order: board().entries.indexOf(entry) })),
    index: "key", columns: isOverall ? overallColumns() : taskColumns(state.view), layout: "fitData", maxHeight: "78vh",
    initialSort: [{ column: isOverall ? OVERALL : "score", dir: "desc" }], headerSortTristate: false, columnHeaderVertAlign: "bottom",
    groupBy: "kind", groupHeader, groupToggleElement: false, placeholder: "No model passes the filters", nestedFieldSeparator: false,
    rowFormatter: (row) => {
      row.getElement().classList.toggle("control", row.getData().kind === "control");
      row.getElement().classList.toggle("picked", row.getData().key === state.picked);
    },
  });
  table.on("tableBuilt", () => { keyboardHeaders(); applyFilters(); });
  table.on("rowClick", (event, row) => { if (!event.target.closest("a")) pick(row.getData().key); });
};

const markRows = () => table.getRows().forEach((row) => row.reformat());

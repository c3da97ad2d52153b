let opened = null;

const NUMBERS = [
  ["score", "score", 1], ["ood_force_mae", "OOD force MAE, meV/Å", 1], ["id_force_mae", "ID force MAE, meV/Å", 1], ["gap", "gap, OOD / ID", 2],
  ["expected_gap", "composition-matched gap", 2], ["near_force_mae", "near, meV/Å", 1], ["far_force_mae", "far, meV/Å", 1],
  ["ood_energy_mae", "OOD relative energy MAE, meV", 1], ["id_energy_mae", "ID relative energy MAE, meV", 1],
];
const FACTORS = { composition: "composition", conformers: "conformers", unseen_parts: "unseen parts", combination: "combination", remaining: "remaining" };

const grid = (header, rows, caption) => make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, make("table", {},
  make("thead", {}, make("tr", {}, ...header.map((text, place) => make("th", { scope: "col", class: place ? "number" : "" }, text)))),
  make("tbody", {}, ...rows.map(([head, ...cells]) => make("tr", {}, make("th", { scope: "row" }, head),
    ...cells.map((each) => make("td", { class: "number" }, each))))),
));

const wholeCell = (number, digits) => (number === undefined ? make("span", {}, DASH) : numberCell(number, digits));

const numbersGrid = (entry) => {
  const tasks = board().tasks.filter((task) => entry.tasks[task.name] !== undefined);
  const rows = NUMBERS.filter(([name]) => tasks.some((task) => numberOf(entry, task.name, name) !== undefined)).map(
    ([name, title, digits]) => [title, ...tasks.map((task) => wholeCell(numberOf(entry, task.name, name), digits))]);
  rows.push(["gap of GFN1-xTB", ...tasks.map((task) => (board().control[task.name] === undefined ? DASH : fixed(board().control[task.name], 2)))]);
  rows.push(["rank", ...tasks.map((task) => String(entry.ranks[task.name] ?? "not ranked"))]);
  rows.push(["seeds", ...tasks.map(({ name }) => entry.tasks[name].seeds ?? String(entry.tasks[name].nSeeds ?? DASH))]);
  if (tasks.some((task) => entry.tasks[task.name].failed)) {
    rows.push(["structures that failed", ...tasks.map((task) => String(entry.tasks[task.name].failed ?? 0))]);
  }
  return grid(["", ...tasks.map((task) => `${task.name} ${task.title === task.name ? "" : task.title}`)], rows, "Numbers of all tasks");
};

const anatomyGrid = (entry) => {
  const tasks = board().tasks.filter((task) => entry.tasks[task.name]?.anatomy !== undefined);
  if (tasks.length === 0) {
    return make("p", { class: "quiet" }, entry.kind === "control" || entry.origin !== "Hub"
      ? "The anatomy of the gap is not recorded; results of a single model have it, and `python -m harness report` computes it."
      : "Results on the Hub do not hold the anatomy of the gap.");
  }
  const names = Object.keys(FACTORS).filter((name) => tasks.some((task) => entry.tasks[task.name].anatomy[name] !== undefined));
  const rows = names.map((name) => [FACTORS[name], ...tasks.map((task) => wholeCell(entry.tasks[task.name].anatomy[name], 2))]);
  rows.push(["gap", ...tasks.map((task) => valueText(numberOf(entry, task.name, "gap"), 2))]);
  return make("div", {}, make("p", { class: "quiet" }, "Factors that multiply to the gap: which atoms the OOD molecules have, rotamers that ",
    "training does not show, parts that it never shows, and their combination."), grid(["factor", ...tasks.map((task) => task.name)], rows, "Anatomy of the gap"));
};

const reasons = (entry) => {
  const found = board().tasks.flatMap((task) => NUMBERS.map(([name, title]) => [task.name, title, numberOf(entry, task.name, name)?.why]))
    .filter(([, , why]) => why !== undefined);
  const byReason = Map.groupBy ? Map.groupBy(found, ([, , why]) => why) : found.reduce(
    (groups, each) => groups.set(each[2], [...(groups.get(each[2]) ?? []), each]), new Map());
  const lines = [...byReason].map(([why, group]) => {
    const places = Object.entries(Object.groupBy ? Object.groupBy(group, ([, title]) => title) : { "": group });
    return make("li", {}, `${why}: `, places.map(([title, of]) => `${title} (${of.map(([task]) => task).join(", ")})`).join("; "));
  });
  if (entry.overall?.why !== undefined) lines.push(make("li", {}, `${entry.overall.why}: overall score`));
  return lines.length ? [make("h3", {}, "Why some numbers have no interval"), make("ul", {}, ...lines)] : [];
};

const list = (pairs) => make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));

const standing = (entry) => {
  if (entry.kind === "control") return "control: a method without a training set, not ranked";
  const among = board().entries.filter((each) => each.kind === entry.kind && each.ranks[OVERALL] !== undefined).length;
  const whose = entry.kind === "community" ? " open pull requests" : "";
  return entry.ranks[OVERALL] === undefined ? "no overall rank: it lacks one of the four tasks"
    : `rank ${entry.ranks[OVERALL]} of ${among}${whose} by overall score ${valueText(entry.overall, 1)}`;
};

const link = (address) => make("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, address);

const fillModel = (entry) => {
  byId("model-name").textContent = entry.key;
  byId("model-summary").replaceChildren(list([
    ["standing", standing(entry)], ["data", board().title], ["protocol", protocolText(entry)], ["what proves it", entry.proof],
    ["family", entry.family ?? "not stated"], ["level of theory", `${entry.level ?? "unknown"}; labels: ${board().labels}`],
    ["cost", entry.cost?.join(", ") ?? "not recorded"], ["precision", entry.dtype ?? "not stated"], ["source", entry.source],
    ...(entry.address === undefined ? [] : [["page", link(entry.address)]]),
  ]), ...(entry.cautions ?? []).map((text) => make("p", {}, make("strong", {}, "Caution: "), text)));
  byId("model-details").replaceChildren(
    make("h3", {}, "All tasks"), numbersGrid(entry), make("h3", {}, "Anatomy of the gap"), anatomyGrid(entry), ...reasons(entry),
    make("h3", {}, "Provenance"), list(entry.facts ?? []),
    ...(entry.commands ? [make("h3", {}, "To reproduce"), make("pre", { tabindex: 0 }, make("code", {}, entry.commands.join("\n")))] : []),
  );
};

const openModel = (key) => {
  const entry = board().entries.find((each) => each.key === key);
  const dialog = byId("model");
  if (entry === undefined) { if (dialog.open) dialog.close(); return; }
  opened = key;
  fillModel(entry);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("model-name").focus();
  feed("errors");
};

byId("close").addEventListener("click", () => byId("model").close());
byId("model").addEventListener("click", (event) => { if (event.target === byId("model")) byId("model").close(); });
byId("model").addEventListener("close", () => { opened = null; history.replaceState(null, "", addressOf({})); });

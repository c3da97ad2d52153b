const data = pageData();
const OVERALL = "overall";
const KINDS = { model: "Models", community: "Open pull requests", control: "Controls" };
const KIND_NOTES = {
  model: "ranked",
  community: "not merged by the owners of the models; anyone may open one; ranked apart",
  control: "no training set; not ranked",
};
const DASH = "–";

// What the reader chose. `picked` is the key of the row that is marked in table and charts.
const state = { board: data.opensWith, view: OVERALL, picked: null };
const board = () => data.boards[state.board];
const byId = (id) => document.getElementById(id);

// Every text of an entry may be a stranger's, so it enters the page as text alone.
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
};

const fixed = (value, digits) => value.toFixed(digits);
const valueText = (number, digits) => {
  if (number?.v === undefined) return DASH;
  return fixed(number.v, digits) + (number.s === undefined ? "" : ` ± ${fixed(number.s, digits)}`);
};
const intervalText = (number, digits) =>
  number?.l === undefined ? "" : `${fixed(number.l, digits)}–${fixed(number.h, digits)}`;
const wholeText = (number, digits) => {
  const interval = intervalText(number, digits);
  return valueText(number, digits) + (interval ? ` (${interval})` : "");
};
const numberOf = (entry, task, name) => entry.tasks[task]?.numbers[name];
const protocolText = (entry) => (entry.evidence === "stated" ? `${entry.protocol}, stated` : entry.protocol);
const speedText = (speed) => (speed >= 100 ? Math.round(speed).toLocaleString("en") : String(Number(speed.toPrecision(3))));
const titleOf = (task) => board().tasks.find((each) => each.name === task)?.title ?? task;

// The address of the page holds the board, the task and the model, so that each can be linked to.
const addressOf = (changes) => {
  const now = { data: board().title, task: state.view === OVERALL ? null : state.view, ...changes };
  if (now.data === data.boards[data.opensWith].title) now.data = null;
  const words = new URLSearchParams(Object.entries(now).filter(([, value]) => value !== null && value !== undefined));
  return `#${words}`;
};

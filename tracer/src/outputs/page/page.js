"use strict";
// Names are untrusted: they become text nodes, and nothing else.
const SVG = "http://www.w3.org/2000/svg";
/** [verdict, by signal null or [whose fault it likely is, what to look at]], the most severe first. */
const VERDICTS = WHOSE_FAULT;
const severity = (verdict) => (VERDICTS.findIndex(([name]) => name === verdict) + VERDICTS.length + 1) % (VERDICTS.length + 1);
/** Whose fault it likely is, and what to look at; nothing where there is nothing to look at. */
const faultOf = (pool) => VERDICTS[severity(pool.verdict)]?.[1][pool.signal];
const COLOURS = 8;
const SIGNALS = { connections: "new connections", exchanges: "exchanges", live: "live connections" };
const find = (id) => document.getElementById(id);
/** Pools whose verdicts are unfolded. */
const unfolded = new Set();
let last = null;
let shown = null;
let paused = false;
let events = null;

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawing(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const percent = (share) => share === null ? "—" : (share * 100).toFixed(share > 0 && share < 0.01 ? 2 : 1) + " %";
const count = (number) => number === null ? "—" : number.toLocaleString("en");
const seconds = (time) => time === null ? "—" : time < 0.001 ? (time * 1e6).toFixed(0) + " µs"
  : time < 1 ? (time * 1e3).toFixed(1) + " ms" : time.toFixed(1) + " s";
const bytes = (number) => number === null ? "—" : number.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 }) + "B";
const long = (time) => time < 120 ? `${time.toFixed(0)} s` : time < 7200 ? `${(time / 60).toFixed(0)} min` : `${(time / 3600).toFixed(0)} h`;
/** For how long the verdict has stood at the moment that is shown, and since when; nothing where that is not known. */
function standing(check, pool) {
  const since = Date.parse(pool.since ?? ""), now = Date.parse(check.started ?? "") + check.duration_seconds * 1000;
  if (Number.isNaN(since) || Number.isNaN(now)) return [];
  const time = Math.max(0, now - since) / 1000;
  const clock = new Date(since).toISOString().replace("T", " ").slice(0, 19) + " UTC";
  return [element("p", { class: "since" }, pool.since_start ? `since before ${clock}, when counting began: for at least ${long(time)}` : `since ${clock}, for ${long(time)}`)];
}
/** The line of a member in charts, and its mark in the table. */
const lineOf = (member, at) => member.finding ? "line guilty" : `line c${at % COLOURS}` + (at < COLOURS ? "" : " dashed");

/** Findings that a share proves; who fails or is slow may well get its due. */
const OF_SHARES = ["over", "under", "missing", "unexpected"];

CHARTS
MOMENT
function bar(member, most) {
  const x = (share) => Math.min(share / most, 1) * 100;
  const label = `${percent(member.observed_share)}, expected ${percent(member.expected_share)}`;
  const svg = drawing("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label });
  if (member.observed_share !== null) {
    const kind = OF_SHARES.includes(member.finding) ? "share over" : "share";
    svg.append(drawing("rect", { class: kind, x: 0, y: 1, width: x(member.observed_share), height: 8 }));
  }
  if (member.share_interval !== null) {
    const [low, high] = member.share_interval;
    svg.append(drawing("line", { class: "interval", x1: x(low), x2: x(high), y1: 5, y2: 5, "stroke-width": 1 }));
  }
  if (member.expected_share !== null) {
    const at = x(member.expected_share);
    svg.append(drawing("line", { class: "expected", x1: at, x2: at, y1: 0, y2: 10, "stroke-width": 0.8 }));
  }
  return svg;
}

function failures(member) {
  const causes = Object.entries(member.failed);
  const some = causes.filter(([, number]) => number > 0);
  if (some.length) return some.map(([cause, number]) => `${count(number)} ${cause.replace("_", " ")}`).join(", ");
  return causes.some(([, number]) => number === null) ? "—" : "0";
}

function row(pool, member, at, most) {
  const times = member.response_seconds;
  const mark = drawing("svg", { class: "mark", viewBox: "0 0 10 10", "aria-hidden": "true" });
  mark.append(drawing("line", { class: lineOf(member, at), x1: 0, x2: 10, y1: 5, y2: 5 }));
  const found = member.finding ? [" ", element("strong", { class: "finding" }, member.finding.toUpperCase())] : [];
  const proof = (finding, text) => member.finding === finding ? element("strong", { class: "finding" }, text) : text;
  const exchanges = pool.signal === "exchanges" ? [count(member.exchanges)] : [];
  const cells = [bar(member, most), percent(member.observed_share), percent(member.expected_share), ...exchanges, count(member.attempts),
    count(member.live), proof("failing", failures(member)), proof("slow", times === null ? "—" : `${seconds(times.p50)} / ${seconds(times.p99)}`),
    `${bytes(member.sent_bytes)} / ${bytes(member.received_bytes)}`];
  return element("tr", member.finding ? { class: "guilty" } : {}, element("th", { scope: "row" }, mark, member.backend, ...found),
    ...cells.map((cell) => element("td", {}, cell)));
}

/** A member that stands out first; the mark of each is of its place in the pool. */
function rows(pool) {
  const ends = pool.members.flatMap((member) => [member.observed_share, member.expected_share, member.share_interval?.[1]]);
  const most = Math.min(1, Math.max(...ends.filter((share) => share != null)) * 1.02) || 1;
  const made = pool.members.map((member, at) => [Boolean(member.finding), row(pool, member, at, most)]);
  return made.toSorted(([a], [b]) => b - a).map(([, row]) => row);
}

function section(check, pool, live) {
  const key = keyOf(pool);
  const kind = pool.verdict === "balanced" ? "verdict balanced" : pool.verdict === "insufficient-evidence" ? "verdict" : "verdict finding";
  const fault = faultOf(pool);
  const advice = fault ? [element("p", { class: "fault" }, "→ ", element("strong", {}, fault[0]), `: look at ${fault[1]}`)] : [];
  const head = element("h2", {}, element("span", { class: kind }, pool.verdict), ` ${pool.name}` + (pool.balancer ? ` by ${pool.balancer}` : ""));
  const exchanges = pool.signal === "exchanges" ? ["exchanges"] : [];
  const names = ["backend", "share, and │ expected", "share", "expected", ...exchanges, "attempts", "live", "failed", "response p50 / p99", "sent / received"];
  const table = element("table", {},
    element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...rows(pool)));
  const made = element("section", {}, head, element("p", { class: "summary" }, pool.summary), ...standing(check, pool), ...advice,
    element("div", { class: "scroll", tabindex: "0", role: "region", "data-place": "members " + key, "aria-label": `Members of ${pool.name}` }, table));
  if (check.duration_seconds !== null) {
    made.append(element("p", { class: "since" }, `Shares: of what is judged. Everything else in the table: since counting began, ${long(check.duration_seconds)} ago; failed attempts are among the attempts.`));
  }
  const of = past.pools.get(key);
  if (!live || !of) return made;
  made.append(element("div", { class: "charts" },
    ...chart(pool, of, "share", `Share of ${SIGNALS[of.signal] ?? "traffic"}, second by second`, percent),
    ...chart(pool, of, "response_seconds", "Median response time, second by second", seconds)));
  const changes = of.changes.map((change) => element("li", {}, `${change.time} ${change.verdict}: ${change.summary}`));
  const details = element("details", {}, element("summary", { "data-place": "verdicts " + key }, `Verdicts so far (${changes.length})`), element("ol", {}, ...changes));
  details.open = unfolded.has(key);
  details.addEventListener("toggle", () => { if (details.open) unfolded.add(key); else unfolded.delete(key); });
  made.append(details);
  return made;
}

/** Says something where it is read out; the same is not read out twice. */
function say(id, text) {
  if (find(id).textContent !== text) find(id).textContent = text;
}

function show(check, live) {
  shown = check;
  find("host").textContent = check.host ? "on " + check.host : "";
  const pools = check.pools.toSorted((a, b) => severity(a.verdict) - severity(b.verdict));
  const findings = pools.filter(faultOf);
  say("verdict", findings.length ? findings.map((pool) => `${pool.name}: ${pool.verdict}`).join("; ") : "no finding");
  // Who is there by keyboard, or has scrolled a table aside, stays there.
  const focus = document.activeElement?.dataset.place;
  const aside = new Map([...document.querySelectorAll(".scroll")].map((table) => [table.dataset.place, table.scrollLeft]));
  find("pools").replaceChildren(...pools.map((pool) => section(check, pool, live)));
  for (const place of document.querySelectorAll("[data-place]")) {
    place.scrollLeft = aside.get(place.dataset.place) ?? 0;
    if (place.dataset.place === focus) place.focus({ preventScroll: true });
  }
  if (!pools.length) find("pools").append(element("p", {}, "No pool is judged yet."));
  const file = find("moment");
  URL.revokeObjectURL(file.href);
  file.href = URL.createObjectURL(new Blob([JSON.stringify(check)], { type: "application/json" }));
  file.hidden = find("share").hidden = false;
}

/** Follows the agent. */
function follow() {
  events?.close();
  paused = false;
  find("pause").setAttribute("aria-pressed", "false");
  find("live").hidden = true;
  find("pause").hidden = false;
  say("state", "connecting");
  events = new EventSource("/events");
  events.addEventListener("past", (event) => learn(JSON.parse(event.data)));
  events.addEventListener("message", (event) => {
    last = JSON.parse(event.data);
    if (paused) return;
    say("state", "live");
    show(last, true);
  });
  events.addEventListener("error", () => say("state", "the agent does not answer; what is below is its last word"));
}

/** Shows the moment of the link that the page was opened with, and nothing else until it is told to. */
async function freeze(fragment) {
  events?.close();
  find("pools").replaceChildren();
  find("moment").hidden = find("share").hidden = find("pause").hidden = true;
  find("live").hidden = false;
  say("verdict", "");
  try {
    const check = await momentOf(fragment);
    // Somebody went on meanwhile.
    if (location.hash !== fragment) return;
    const end = new Date(Date.parse(check.started) + check.duration_seconds * 1000);
    const when = Number.isNaN(end.getTime()) ? "at a time that it does not say" : "of " + end.toISOString().replace("T", " ").slice(0, 19) + " UTC";
    show(check, false);
    say("state", `a moment ${when}, as the link has it: not what happens now, and nobody vouches for it`);
  } catch {
    if (location.hash !== fragment) return;
    say("state", "this link holds no moment that can be shown: it is cut off, or made by something else; ask for it again, or for the JSON file");
  }
}

function begin() {
  if (location.hash.startsWith(MARK)) freeze(location.hash); else follow();
}

find("pause").addEventListener("click", () => {
  paused = !paused;
  find("pause").setAttribute("aria-pressed", String(paused));
  say("state", paused ? "paused" : "live");
  if (!paused && last) show(last, true);
});
find("live").addEventListener("click", () => {
  history.replaceState(null, "", location.pathname);
  follow();
});
find("share").addEventListener("click", async () => {
  const link = await linkOf(shown);
  find("link").hidden = link === null;
  if (link === null) return say("said", "too much for a link: pass on the JSON file instead");
  find("link").value = link;
  find("link").select();
  // A page that did not come over TLS or from this host may not write to the clipboard.
  const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
  say("said", copied ? "the link is copied: it holds this moment itself" : "copy this link: it holds this moment itself");
});
addEventListener("hashchange", begin);
begin();

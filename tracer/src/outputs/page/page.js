"use strict";
// Names are untrusted: they become text nodes, and nothing else.
const SVG = "http://www.w3.org/2000/svg";
const MOST_POINTS = 300;
const MOST_CHANGES = 50;
/** [verdict, null or [whose fault it likely is, what to look at]], the most severe first. */
const VERDICTS = WHOSE_FAULT;
const severity = (verdict) => VERDICTS.findIndex(([name]) => name === verdict);
const COLOURS = ["#3b6fb6", "#c4621a", "#2e8b57", "#a23b72", "#8a6d00", "#5c54c4", "#00838f", "#7a5230"];
const find = (id) => document.getElementById(id);
/** Shares over time and verdicts of each pool, since the page was opened. */
const past = new Map();
let last = null;
let paused = false;

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

const percent = (share) => share === null ? "—" : (share * 100).toFixed(1) + " %";
const count = (number) => number === null ? "—" : number.toLocaleString("en");
const seconds = (time) => time === null ? "—" : time < 0.001 ? (time * 1e6).toFixed(0) + " µs"
  : time < 1 ? (time * 1e3).toFixed(1) + " ms" : time.toFixed(1) + " s";

function bar(member) {
  const x = (share) => share * 100;
  const label = `${percent(member.observed_share)}, expected ${percent(member.expected_share)}`;
  const svg = drawing("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label });
  if (member.observed_share !== null) {
    const kind = member.finding ? "share over" : "share";
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
  const causes = Object.entries(member.failed).filter(([, number]) => number > 0);
  return causes.length ? causes.map(([cause, number]) => `${count(number)} ${cause.replace("_", " ")}`).join(", ") : "0";
}

function row(member) {
  const times = member.response_seconds;
  const cells = [member.backend + (member.finding ? " " + member.finding.toUpperCase() : ""), bar(member),
    percent(member.observed_share), percent(member.expected_share), count(member.attempts), count(member.live), failures(member),
    times === null ? "—" : `${seconds(times.p50)} / ${seconds(times.p99)}`];
  return element("tr", {}, ...cells.map((cell) => element("td", {}, cell)));
}

/** The share of new connections of each second, a line a member. */
function chart(pool, of) {
  const svg = drawing("svg", { class: "chart", viewBox: `0 0 ${MOST_POINTS} 100`, preserveAspectRatio: "none", role: "img",
    "aria-label": "Share of new connections over the last minutes, a line a member; the table has the figures" });
  pool.members.forEach((member, index) => {
    const points = of.points.flatMap((shares, at) => {
      const share = shares.get(member.backend);
      return share === undefined ? [] : [`${MOST_POINTS - of.points.length + at},${100 - share * 100}`];
    });
    svg.append(drawing("polyline", { points: points.join(" "), fill: "none", stroke: COLOURS[index % COLOURS.length], "stroke-width": 1 }));
  });
  return svg;
}

function section(pool, key) {
  const of = past.get(key);
  const kind = pool.verdict === "balanced" ? "verdict balanced" : pool.verdict === "insufficient-evidence" ? "verdict" : "verdict finding";
  const fault = VERDICTS[severity(pool.verdict)]?.[1];
  const advice = fault ? [element("p", {}, element("strong", {}, fault[0]), `: look at ${fault[1]}`)] : [];
  const head = element("h2", {}, pool.name + (pool.balancer ? ` by ${pool.balancer} ` : " "), element("span", { class: kind }, pool.verdict));
  const names = ["backend", "", "share", "expected", "attempts", "live", "failed", "response p50 / p99"];
  const table = element("table", {},
    element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, ...pool.members.map(row)));
  const changes = of.changes.map((change) => element("li", {}, `${change.time} ${change.verdict}: ${change.summary}`));
  const details = element("details", {}, element("summary", { "data-place": "verdicts " + key }, `Verdicts since the page was opened (${changes.length})`), element("ol", {}, ...changes));
  details.open = of.open;
  details.addEventListener("toggle", () => { of.open = details.open; });
  return element("section", {}, head, element("p", {}, pool.summary), ...advice,
    element("div", { class: "scroll", tabindex: "0", role: "region", "data-place": "members " + key, "aria-label": `Members of ${pool.name}` }, table), chart(pool, of),
    element("p", { class: "caption" }, "Share of new connections, second by second."), details);
}

function remember(pool, key, time) {
  if (!past.has(key)) past.set(key, { points: [], changes: [], attempts: new Map(), open: false });
  const of = past.get(key);
  const news = pool.members.map((member) => [member.backend, member.attempts - (of.attempts.get(member.backend) ?? member.attempts)]);
  const sum = news.reduce((total, [, number]) => total + number, 0);
  // After a restart of the agent counters begin at 0: that second is left out.
  if (news.every(([, number]) => number >= 0)) of.points.push(new Map(sum > 0 ? news.map(([name, number]) => [name, number / sum]) : []));
  if (of.points.length > MOST_POINTS) of.points.shift();
  of.attempts = new Map(pool.members.map((member) => [member.backend, member.attempts]));
  if (of.changes.at(-1)?.verdict !== pool.verdict) of.changes.push({ time, verdict: pool.verdict, summary: pool.summary });
  if (of.changes.length > MOST_CHANGES) of.changes.shift();
}

function show(check) {
  find("host").textContent = check.host ? "on " + check.host : "";
  const pools = check.pools.toSorted((a, b) => severity(a.verdict) - severity(b.verdict));
  // Who is there by keyboard, or has scrolled a table aside, stays there.
  const focus = document.activeElement?.dataset.place;
  const aside = new Map([...document.querySelectorAll(".scroll")].map((table) => [table.dataset.place, table.scrollLeft]));
  find("pools").replaceChildren(...pools.map((pool) => section(pool, JSON.stringify([pool.name, pool.balancer]))));
  for (const place of document.querySelectorAll("[data-place]")) {
    place.scrollLeft = aside.get(place.dataset.place) ?? 0;
    if (place.dataset.place === focus) place.focus({ preventScroll: true });
  }
  if (!pools.length) find("pools").append(element("p", {}, "No pool is judged yet."));
  const link = find("moment");
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([JSON.stringify(check)], { type: "application/json" }));
  link.hidden = false;
}

const events = new EventSource("/events");
events.addEventListener("message", (event) => {
  last = JSON.parse(event.data);
  const time = new Date().toLocaleTimeString();
  last.pools.forEach((pool) => remember(pool, JSON.stringify([pool.name, pool.balancer]), time));
  if (find("state").textContent !== "live" && !paused) find("state").textContent = "live";
  if (!paused) show(last);
});
events.addEventListener("error", () => { find("state").textContent = "the agent does not answer; what is below is its last word"; });
find("pause").addEventListener("click", () => {
  paused = !paused;
  find("pause").setAttribute("aria-pressed", String(paused));
  find("state").textContent = paused ? "paused" : "live";
  if (!paused && last) show(last);
});

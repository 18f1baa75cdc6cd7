/** The last minutes, as the agent remembers them: when each interval ended, and of each pool its verdicts and lines. */
const MOST_POINTS = 300;
const MOST_CHANGES = 50;
const past = { times: [], pools: new Map() };
const keyOf = (pool) => JSON.stringify([pool.name, pool.balancer]);

/** Takes in what the agent says of the past: all that it remembers at first, and then what is news. */
function learn(news) {
  const last = past.times.at(-1) ?? -Infinity;
  const fresh = news.times.findIndex((time) => time > last);
  if (fresh < 0) return;
  const before = past.times.length;
  past.times.push(...news.times.slice(fresh));
  const grown = past.times.length;
  for (const pool of news.pools) {
    const key = keyOf(pool);
    if (!past.pools.has(key)) past.pools.set(key, { members: new Map(), changes: [] });
    const of = past.pools.get(key);
    of.signal = pool.signal;
    of.charted = pool.members.map((member) => member.backend);
    for (const change of pool.verdicts) {
      const told = of.changes.some((known) => known.time === change.time && known.verdict === change.verdict);
      if (!told && of.changes.at(-1)?.verdict !== change.verdict) of.changes.push(change);
    }
    of.changes.splice(0, of.changes.length - MOST_CHANGES);
    for (const member of pool.members) {
      if (!of.members.has(member.backend)) of.members.set(member.backend, { share: [], response_seconds: [] });
      const lines = of.members.get(member.backend);
      for (const name of ["share", "response_seconds"]) {
        while (lines[name].length < before) lines[name].push(null);
        lines[name].push(...member[name].slice(fresh));
      }
    }
  }
  const old = Math.max(0, past.times.length - MOST_POINTS);
  past.times.splice(0, old);
  for (const [key, of] of past.pools) {
    for (const [backend, lines] of of.members) {
      for (const name of ["share", "response_seconds"]) {
        while (lines[name].length < grown) lines[name].push(null);
        lines[name].splice(0, old);
      }
      if (lines.share.every((share) => share === null)) of.members.delete(backend);
    }
    if (!of.members.size) past.pools.delete(key);
  }
}

/** A line a member over the last minutes; nothing where nothing was measured. */
function chart(pool, of, name, title, said) {
  const lines = pool.members.flatMap((member, at) => {
    const points = of.charted.includes(member.backend) ? of.members.get(member.backend)?.[name] : undefined;
    return points ? [{ member, at, points }] : [];
  });
  const known = lines.flatMap(({ points }) => points.filter((point) => point !== null));
  if (!known.length) return [];
  const expected = name === "share" ? pool.members.map((member) => member.expected_share).filter((share) => share !== null) : [];
  const highest = Math.max(...known, ...expected.slice(0, lines.length)) * 1.05 || 1;
  const most = name === "share" ? Math.min(1, highest) : highest;
  const begin = past.times[0], length = Math.max(past.times.at(-1) - begin, 1);
  const x = (at) => ((past.times[at] - begin) / length * 100).toFixed(2);
  const y = (figure) => (100 - figure / most * 100).toFixed(2);
  const label = `${title} over the last minutes, a line a member; the table has the figures`;
  const svg = drawing("svg", { class: "chart", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const share of new Set(expected.slice(0, lines.length))) {
    svg.append(drawing("line", { class: "due", x1: 0, x2: 100, y1: y(share), y2: y(share), "vector-effect": "non-scaling-stroke" }));
  }
  // Who stands out is drawn last, and so above the others.
  for (const { member, at, points } of lines.toSorted((a, b) => Boolean(a.member.finding) - Boolean(b.member.finding))) {
    const d = points.map((point, place) => point === null ? "" : `${points[place - 1] == null ? "M" : "L"}${x(place)} ${y(point)}`).join("");
    svg.append(drawing("path", { d, class: lineOf(member, at), "vector-effect": "non-scaling-stroke" }));
  }
  const minutes = length < 120 ? `${length.toFixed(0)} s` : `${(length / 60).toFixed(0)} min`;
  return [element("figure", {}, element("figcaption", {}, title),
    element("div", { class: "plot" }, element("span", {}, said(most)), svg, element("span", {}, "0"), element("span", { class: "when" }, `${minutes} ago`), element("span", { class: "now" }, "now")))];
}

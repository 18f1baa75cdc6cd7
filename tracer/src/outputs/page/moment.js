/** A link that holds a moment: the check object, compressed, in its fragment, which no server is ever sent. */
const MARK = "#moment=";
/** Longer links do not survive being passed on. */
const LONGEST_LINK = 32 * 1024;
/** What a link unpacks to at most, bytes. */
const LARGEST_MOMENT = 4 * 1024 * 1024;
const MOST_SHOWN = 2000;

/** All bytes of a stream; fails beyond a limit. */
async function bytesOf(stream, most) {
  const parts = [];
  let length = 0;
  for (const reader = stream.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts);
    length += value.length;
    if (length > most) { reader.cancel(); throw new Error("too large"); }
    parts.push(value);
  }
}

/** The link of a moment; null where it would be too long. */
async function linkOf(check) {
  const packed = await bytesOf(new Blob([JSON.stringify(check)]).stream().pipeThrough(new CompressionStream("gzip")), LARGEST_MOMENT);
  const bytes = new Uint8Array(await packed.arrayBuffer());
  if (bytes.length > LONGEST_LINK) return null;
  const text = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const link = location.origin + location.pathname + MARK + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return link.length > LONGEST_LINK ? null : link;
}

/** The moment that a link holds; fails where it holds none. */
async function momentOf(fragment) {
  if (fragment.length > LONGEST_LINK) throw new Error("too long");
  const text = atob(fragment.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/"));
  const packed = new Blob([Uint8Array.from(text, (letter) => letter.charCodeAt(0))]);
  const whole = await bytesOf(packed.stream().pipeThrough(new DecompressionStream("gzip")), LARGEST_MOMENT);
  return plain(JSON.parse(await whole.text()));
}

/** Of what somebody else wrote only what the page shows, each thing of the kind that it should be. */
function plain(check) {
  const text = (value) => typeof value === "string" ? value.slice(0, 1000) : null;
  const number = (value) => typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
  const list = (value) => Array.isArray(value) ? value.slice(0, MOST_SHOWN) : [];
  const pair = (value) => list(value).length === 2 && value.every((one) => number(one) !== null) ? value : null;
  const times = (value) => number(value?.p50) === null || number(value?.p99) === null ? null : { p50: value.p50, p99: value.p99 };
  const causes = (value) => Object.fromEntries(Object.entries(value ?? {}).slice(0, 20).map(([cause, count]) => [cause, number(count)]));
  if (check?.schema !== "tracer.check/1" || !Array.isArray(check.pools)) throw new Error("no check");
  const member = (of) => ({ backend: text(of?.backend) ?? "?", finding: text(of?.finding),
    expected_share: number(of?.expected_share), observed_share: number(of?.observed_share), share_interval: pair(of?.share_interval),
    attempts: number(of?.attempts), live: number(of?.live), failed: causes(of?.failed), response_seconds: times(of?.response_seconds),
    sent_bytes: number(of?.sent_bytes), received_bytes: number(of?.received_bytes) });
  const pool = (of) => ({ name: text(of?.name) ?? "?", balancer: text(of?.balancer), verdict: text(of?.verdict) ?? "?",
    signal: text(of?.signal), since: text(of?.since), since_start: of?.since_start === true, summary: text(of?.summary) ?? "", members: list(of?.members).map(member) });
  return { schema: check.schema, host: text(check.host), started: text(check.started), duration_seconds: number(check.duration_seconds),
    pools: list(check.pools).map(pool) };
}

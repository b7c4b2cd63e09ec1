// Questions to the server that delivered this page. Every one carries the token of the address.

const token = new URLSearchParams(location.search).get("token") ?? "";
const PATIENCE_MS = 30_000;

/** The server understood and said no; asking again would give the same answer. */
export class Refused extends Error {
  constructor(message, hint, code) {
    super(message);
    this.hint = hint;
    /** Whether this page's token is not the server's: another one was started at this port. */
    this.isForeign = code === 401 || code === 403;
  }
}

/** The server could not do it now (a full disk, say) and has said that nothing was written. */
export class Failed extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/** No answer came: whether the server did what was asked is not known. */
export class Unreachable extends Error {}

async function ask(path, options) {
  let response;
  let text;
  try {
    const headers = { "X-Hanet-Token": token, ...options.headers };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    response = await fetch(path, { ...options, headers, signal, cache: "no-store" });
    text = await response.text();
  } catch {
    throw new Unreachable("The server does not answer");
  }
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    answer = { error: `The server answered with code ${response.status}`, hint: "" };
  }
  if (response.ok) return answer;
  const { error = `The server answered with code ${response.status}`, hint = "" } = answer;
  if (response.status >= 500) throw new Failed(error, hint);
  throw new Refused(error, hint, response.status);
}

/** The answer to a GET; undefined values of the query are left out. */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  const words = new URLSearchParams(given).toString();
  return ask(words ? `${path}?${words}` : path, { method: "GET" });
}

/** The answer to a POST of JSON. */
export function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** Address of a tile; images cannot send a header, so the token stands in it. */
export function tileAddress(layer, [z, x, y]) {
  return `/tiles/${layer}/${z}/${x}/${y}?token=${encodeURIComponent(token)}`;
}

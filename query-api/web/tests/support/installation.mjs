// A running Tidemark, as its environment names it: what deploy/local/up writes to .local/env.

const need = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run deploy/local/up, and then ". .local/env" with its names exported`);
  return value;
};

/** Where the page is; another server of it may be named. */
export const pageUrl = () => process.env.PAGE_URL ?? need("QUERY_URL");

/** Calls the management API; throws where it refuses. */
export async function call(method, path, token, body, headers = {}) {
  const response = await fetch(`${need("QUERY_URL")}/api/v1${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

export const createProject = (name, plan) => call("POST", "/projects", need("OPERATOR_TOKEN"), { name, plan });
export const removeProject = (projectId) => call("DELETE", `/projects/${projectId}`, need("OPERATOR_TOKEN"));
export const createConnection = (manageKey, name) => call("POST", "/connections", manageKey, { name });

/** Sends metrics and gives the answer, whatever it is. */
export async function send(apiKey, projectId, metrics) {
  return fetch(`${need("GATEWAY_URL")}/api/webhooks/custom`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ projectId, metrics }),
  });
}

/** Waits until `look` gives something true; it is asked again and again for two minutes. */
export async function until(what, look) {
  const end = Date.now() + 120_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`it never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

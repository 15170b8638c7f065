// Access to a running Tidemark. The environment names it, with the variables that deploy/local/up writes to .local/env.

const requireEnv = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run deploy/local/up, then "set -a; . .local/env" in this shell`);
  return value;
};

/** URL of the page. PAGE_URL selects another server, such as the development server. */
export const pageUrl = () => process.env.PAGE_URL ?? requireEnv("QUERY_URL");

/** Calls the management API. Throws if the response is an error. */
export async function call(method, path, token, body, headers = {}) {
  const response = await fetch(`${requireEnv("QUERY_URL")}/api/v1${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, ...(body ? { "Content-Type": "application/json" } : {}), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

export const createProject = (name, plan) => call("POST", "/projects", requireEnv("OPERATOR_TOKEN"), { name, plan });
export const removeProject = (projectId) => call("DELETE", `/projects/${projectId}`, requireEnv("OPERATOR_TOKEN"));
export const createConnection = (manageKey, name) => call("POST", "/connections", manageKey, { name });

/** Sends metrics and returns the response, also if it is an error. */
export async function send(apiKey, projectId, metrics) {
  return fetch(`${requireEnv("GATEWAY_URL")}/api/webhooks/custom`, {
    method: "POST",
    headers: { Authorization: `Bearer ${apiKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ projectId, metrics }),
  });
}

/** Polls `condition` until it returns a truthy value, and returns that value. Fails after two minutes. */
export async function waitUntil(description, condition) {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`timed out after two minutes waiting until ${description}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What to paste where, filled in: one request with one metric, for each tool that people come with. */

export interface Target {
  webhookUrl: string;
  apiKey: string;
  projectId: string;
}

export interface Snippet {
  id: string;
  name: string;
  /** What to do with it, step by step; code in backquotes. */
  steps?: string[];
  code: string;
  /** What the code is, for its label. */
  codeName: string;
}

const EXAMPLE = { metricId: "daily_signups", metricName: "Daily Signups", value: 42, unit: "count" };

/** Stands for a key that cannot be shown any more. */
export const HIDDEN_KEY = "YOUR_API_KEY";

export function snippets(target: Target): Snippet[] {
  return [curl(target), javascript(target), python(target), zapier(target), make(target), n8n(target)];
}

const body = ({ projectId }: Target) => JSON.stringify({ projectId, metrics: [EXAMPLE] }, null, 2);

function curl(target: Target): Snippet {
  return {
    id: "curl",
    name: "curl",
    codeName: "Shell",
    code: `curl -sS -X POST '${target.webhookUrl}' \\
  -H 'Authorization: Bearer ${target.apiKey}' \\
  -H 'Content-Type: application/json' \\
  -d '${body(target)}'`,
  };
}

function javascript(target: Target): Snippet {
  return {
    id: "javascript",
    name: "JavaScript",
    codeName: "JavaScript",
    steps: ["Works in Node 18 and newer without packages. Keep the key in the environment (`TIDEMARK_API_KEY`) and off client-side code."],
    code: `const apiKey = process.env.TIDEMARK_API_KEY ?? "${target.apiKey}";

const response = await fetch("${target.webhookUrl}", {
  method: "POST",
  headers: {
    Authorization: \`Bearer \${apiKey}\`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    projectId: "${target.projectId}",
    metrics: [
      { metricId: "${EXAMPLE.metricId}", metricName: "${EXAMPLE.metricName}", value: ${EXAMPLE.value}, unit: "${EXAMPLE.unit}" },
    ],
  }),
});
if (!response.ok) throw new Error(\`\${response.status}: \${await response.text()}\`);
console.log(await response.json());`,
  };
}

function python(target: Target): Snippet {
  return {
    id: "python",
    name: "Python",
    codeName: "Python",
    steps: ["Needs nothing but Python 3. Keep the key in the environment (`TIDEMARK_API_KEY`)."],
    code: `import json
import os
import urllib.request

api_key = os.environ.get("TIDEMARK_API_KEY", "${target.apiKey}")
body = {
    "projectId": "${target.projectId}",
    "metrics": [
        {"metricId": "${EXAMPLE.metricId}", "metricName": "${EXAMPLE.metricName}", "value": ${EXAMPLE.value}, "unit": "${EXAMPLE.unit}"},
    ],
}
request = urllib.request.Request(
    "${target.webhookUrl}",
    data=json.dumps(body).encode(),
    headers={"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"},
)
with urllib.request.urlopen(request, timeout=30) as response:
    print(json.load(response))`,
  };
}

function zapier(target: Target): Snippet {
  return {
    id: "zapier",
    name: "Zapier",
    codeName: "Data",
    steps: [
      "Add the action **Webhooks by Zapier** and choose the event **Custom Request**: it sends numbers as numbers.",
      `Choose method **POST**, URL \`${target.webhookUrl}\`, and paste this as **Data**. Put a field of an earlier step in the place of the number.`,
      `Under **Headers** add \`Authorization\` with the value \`Bearer ${target.apiKey}\` and \`Content-Type\` with \`application/json\`, then test the step.`,
    ],
    code: body(target),
  };
}

function make(target: Target): Snippet {
  return {
    id: "make",
    name: "Make",
    codeName: "Request content",
    steps: [
      `Add the module **HTTP → Make a request** with URL \`${target.webhookUrl}\` and method **POST**.`,
      `Add the header \`Authorization\` with the value \`Bearer ${target.apiKey}\`.`,
      "Choose body type **Raw**, content type **JSON**, and paste this as request content. Map a value of an earlier module in the place of the number.",
    ],
    code: body(target),
  };
}

function n8n(target: Target): Snippet {
  return {
    id: "n8n",
    name: "n8n",
    codeName: "JSON body",
    steps: [
      `Add an **HTTP Request** node: method **POST**, URL \`${target.webhookUrl}\`.`,
      `Authentication **Generic Credential Type → Header Auth**: name \`Authorization\`, value \`Bearer ${target.apiKey}\`.`,
      "Switch on **Send Body**, content type **JSON**, **Using JSON**, and paste this. An expression such as `{{ $json.total }}` may stand in the place of the number.",
    ],
    code: body(target),
  };
}

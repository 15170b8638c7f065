/** Example requests for each supported tool, with the URL, key and project id filled in. */

export interface SnippetTarget {
  webhookUrl: string;
  apiKey: string;
  projectId: string;
}

export interface Snippet {
  id: string;
  name: string;
  /** Instructions in the markup of `RichText`. Several are shown as a numbered list. */
  steps?: string[];
  code: string;
  /** Kind of the code, for its accessible label. */
  codeName: string;
}

const EXAMPLE = { metricId: "daily_signups", metricName: "Daily Signups", value: 42, unit: "count" };

/** Placeholder for a key that cannot be shown again. */
export const HIDDEN_KEY = "YOUR_API_KEY";

export function snippets(target: SnippetTarget): Snippet[] {
  return [curl(target), javascript(target), python(target), zapier(target), make(target), n8n(target)];
}

const body = ({ projectId }: SnippetTarget) => JSON.stringify({ projectId, metrics: [EXAMPLE] }, null, 2);

function curl(target: SnippetTarget): Snippet {
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

function javascript(target: SnippetTarget): Snippet {
  return {
    id: "javascript",
    name: "JavaScript",
    codeName: "JavaScript",
    steps: ["Works in Node 18 and newer without packages. Keep the key in the environment variable `TIDEMARK_API_KEY` and out of client-side code."],
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

function python(target: SnippetTarget): Snippet {
  return {
    id: "python",
    name: "Python",
    codeName: "Python",
    steps: ["Requires only Python 3. Keep the key in the environment variable `TIDEMARK_API_KEY`."],
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

function zapier(target: SnippetTarget): Snippet {
  return {
    id: "zapier",
    name: "Zapier",
    codeName: "Data",
    steps: [
      "Add the action **Webhooks by Zapier** and choose the event **Custom Request**, which sends numbers as numbers.",
      `Set the method to **POST** and the URL to \`${target.webhookUrl}\`. Paste the JSON below into **Data**. Replace the number with a field from an earlier step.`,
      `Under **Headers**, add \`Authorization\` with the value \`Bearer ${target.apiKey}\` and \`Content-Type\` with the value \`application/json\`. Then test the step.`,
    ],
    code: body(target),
  };
}

function make(target: SnippetTarget): Snippet {
  return {
    id: "make",
    name: "Make",
    codeName: "Request content",
    steps: [
      `Add the module **HTTP → Make a request**. Set the URL to \`${target.webhookUrl}\` and the method to **POST**.`,
      `Add the header \`Authorization\` with the value \`Bearer ${target.apiKey}\`.`,
      "Set the body type to **Raw** and the content type to **JSON**. Paste the JSON below as the request content. Replace the number with a value from an earlier module.",
    ],
    code: body(target),
  };
}

function n8n(target: SnippetTarget): Snippet {
  return {
    id: "n8n",
    name: "n8n",
    codeName: "JSON body",
    steps: [
      `Add an **HTTP Request** node. Set the method to **POST** and the URL to \`${target.webhookUrl}\`.`,
      `Set the authentication to **Generic Credential Type → Header Auth**, with the name \`Authorization\` and the value \`Bearer ${target.apiKey}\`.`,
      "Turn on **Send Body**, set the content type to **JSON**, choose **Using JSON**, and paste the JSON below. You can replace the number with an expression such as `{{ $json.total }}`.",
    ],
    code: body(target),
  };
}

"use strict";
// Renders the OpenAPI document of this service. All values are inserted as text, never as markup.

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

// Follows $ref, at most 20 levels deep.
function resolve(root, schema) {
  for (let steps = 0; schema && schema.$ref && steps < 20; steps++) {
    schema = schema.$ref.slice(2).split("/").reduce(
      (target, part) => target && target[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  }
  return schema || {};
}

function alternatives(schema) {
  return schema.oneOf || schema.anyOf || [];
}

function typeOf(root, unresolved) {
  const schema = resolve(root, unresolved);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const parts = alternatives(schema).map((part) => typeOf(root, part));
  if (parts.length) return [...new Set(parts)].join(" | ");
  const types = [schema.type || (schema.properties ? "object" : "any")].flat();
  const typeNames = types.map((type) => (type === "array" ? `array of ${typeOf(root, schema.items)}` : type));
  const bounds = [["minimum", "from"], ["maximum", "to"], ["minItems", "at least"], ["maxItems", "at most"],
    ["minLength", "at least"], ["maxLength", "at most"]]
    .filter(([key]) => schema[key] !== undefined).map(([key, label]) => `${label} ${schema[key]}`);
  return typeNames.join(" | ") + (bounds.length ? `, ${bounds.join(" ")}` : "");
}

// Returns the example of the schema, or a value that matches it.
function example(root, unresolved, depth = 0) {
  const schema = resolve(root, unresolved);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (depth > 6) return null;
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => example(root, part, depth + 1)));
  const parts = alternatives(schema);
  const nonNull = parts.find((part) => resolve(root, part).type !== "null");
  if (nonNull) return example(root, nonNull, depth + 1);
  switch ([schema.type].flat()[0]) {
    case "array": return [example(root, schema.items, depth + 1)];
    case "integer": return schema.format === "int64" ? 1790000000000 : schema.minimum || 1;
    case "number": return 42.5;
    case "boolean": return true;
    case "string": return "…";
    case "null": return null;
    default: {
      const properties = Object.entries(schema.properties || {});
      return Object.fromEntries(properties.map(([name, part]) => [name, example(root, part, depth + 1)]));
    }
  }
}

function table(head, rows) {
  const cells = (kind, row) => element("tr", {}, row.map((cell) => element(kind, {}, cell)));
  return element("div", { class: "scroll" },
    element("table", {}, element("thead", {}, cells("th", head)), element("tbody", {}, rows.map((row) => cells("td", row)))));
}

const code = (text) => element("code", {}, text);

// Returns a table row for each field of the schema, including nested fields with their paths.
function fields(root, unresolved, path = "", depth = 0) {
  const schema = resolve(root, unresolved);
  if (depth > 5) return [];
  if (schema.items) return fields(root, schema.items, `${path}[]`, depth + 1);
  const rows = [];
  for (const part of [...(schema.allOf || []), ...alternatives(schema)]) rows.push(...fields(root, part, path, depth + 1));
  for (const [name, part] of Object.entries(schema.properties || {})) {
    const fullPath = path ? `${path}.${name}` : name;
    const required = (schema.required || []).includes(name) ? "required" : "";
    const described = [part, ...alternatives(part), resolve(root, part)].find((candidate) => candidate.description);
    rows.push([code(fullPath), code(typeOf(root, part)), required, described ? described.description : ""]);
    rows.push(...fields(root, part, fullPath, depth + 1));
  }
  return rows;
}

function content(root, body) {
  return Object.entries(body.content || {}).map(([type, media]) => {
    const provided = media.example !== undefined ? media.example : Object.values(media.examples || {})[0]?.value;
    const value = provided !== undefined ? provided : example(root, media.schema || {});
    const rows = fields(root, media.schema || {});
    const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    return element("div", {}, element("p", { class: "muted" }, code(type)),
      type.includes("json") ? element("pre", { tabindex: "0" }, text) : null,
      rows.length ? element("details", {}, element("summary", {}, "Fields"), table(["Field", "Type", "", "Description"], rows)) : null);
  });
}

function call(root, path, method, operation, shared) {
  const parameters = [...(shared || []), ...(operation.parameters || [])].map((part) => resolve(root, part));
  const keys = (operation.security || []).map((requirement) => Object.entries(requirement)
    .map(([name, scopes]) => (scopes.length ? `${name} with scope ${scopes.join(", ")}` : name)).join(" and "));
  const body = operation.requestBody && resolve(root, operation.requestBody);
  const responses = Object.entries(operation.responses || {}).map(([status, part]) => [status, resolve(root, part)]);
  return element("section", { class: "call", id: operation.operationId || `${method}${path}` },
    element("h3", {}, element("span", { class: "method" }, method), " ", path),
    element("p", {}, [operation.summary, operation.description].filter(Boolean).join(" ")),
    keys.length ? element("p", { class: "muted" }, `Authorization: Bearer, ${keys.join(" or ")}`) : null,
    parameters.length ? [element("h4", {}, "Parameters"), table(["Name", "In", "Type", "", "Description"], parameters.map((part) =>
      [code(part.name), part.in, code(typeOf(root, part.schema)), part.required ? "required" : "", part.description || ""]))] : null,
    body ? [element("h4", {}, "Request body"), content(root, body)] : null,
    element("h4", {}, "Responses"),
    responses.map(([status, part]) => element("details", status.startsWith("2") ? { open: "" } : {},
      element("summary", {}, code(status), ` ${part.description || ""}`), content(root, part))));
}

function render(root) {
  const groups = new Map();
  for (const [path, item] of Object.entries(root.paths || {})) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(call(root, path, method, item[method], item.parameters));
    }
  }
  const links = [], sections = [];
  for (const [tag, calls] of groups) {
    links.push(element("h2", {}, tag), ...calls.map((section) => element("a", { href: `#${section.id}` }, section.querySelector("h3").textContent)));
    sections.push(element("h2", { class: "tag" }, tag), ...calls);
  }
  document.querySelector("nav").replaceChildren(...links);
  document.querySelector("main").replaceChildren(
    element("h1", {}, root.info.title), element("p", {}, root.info.description || ""),
    element("p", { class: "muted" }, `Version ${root.info.version}. OpenAPI document: `,
      element("a", { href: "/api/v1/openapi.json" }, "/api/v1/openapi.json")), ...sections);
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

fetch("/api/v1/openapi.json")
  .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`the service returned status ${response.status}`))))
  .then(render)
  .catch((error) => { document.getElementById("state").textContent = `Could not load the API reference: ${error.message}`; });

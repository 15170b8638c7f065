import { Tab, TabList, TabPanel, TabProvider } from "@ariakit/react";
import { CodeBlock, RichText } from "../../ui/Code.tsx";
import { snippets, type SnippetTarget } from "./snippets.ts";

/** Ready-to-use requests, one tab for each tool. */
export function Snippets(target: SnippetTarget) {
  const all = snippets(target);
  return (
    <TabProvider defaultSelectedId="snippet-curl">
      <div className="tabs-scroll">
        <TabList aria-label="Tool" className="segments">
          {all.map(({ id, name }) => <Tab key={id} id={`snippet-${id}`} className="segment">{name}</Tab>)}
        </TabList>
      </div>
      {all.map(({ id, name, steps, code, codeName }) => (
        <TabPanel key={id} tabId={`snippet-${id}`} className="snippet" unmountOnHide>
          {steps && steps.length > 1 ? (
            <ol className="steps">{steps.map((step) => <li key={step}><RichText text={step} /></li>)}</ol>
          ) : (
            steps?.map((step) => <p key={step} className="muted"><RichText text={step} /></p>)
          )}
          <CodeBlock label={`${name}: ${codeName}`} code={code} />
        </TabPanel>
      ))}
    </TabProvider>
  );
}

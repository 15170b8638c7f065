import { Tab, TabList, TabPanel, TabProvider } from "@ariakit/react";
import { CodeBlock, Rich } from "../../ui/Code.tsx";
import { snippets, type Target } from "./snippets.ts";

/** Ready requests, one for each tool. */
export function Snippets(target: Target) {
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
            <ol className="steps">{steps.map((step) => <li key={step}><Rich text={step} /></li>)}</ol>
          ) : (
            steps?.map((step) => <p key={step} className="quiet"><Rich text={step} /></p>)
          )}
          <CodeBlock label={`${name}: ${codeName}`} code={code} />
        </TabPanel>
      ))}
    </TabProvider>
  );
}

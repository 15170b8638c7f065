import { useRouteError } from "react-router";
import { ButtonLink } from "../ui/Button.tsx";
import { Page } from "../ui/Page.tsx";
import { Empty, Failed } from "../ui/states.tsx";

/** Where no page is. */
export function NotFound() {
  return (
    <Page title="Not found">
      <Empty title="There is no such page" action={<ButtonLink to="/dashboards" look="primary">Go to the dashboards</ButtonLink>}>
        <p>The address may be mistyped, or what was here was deleted.</p>
      </Empty>
    </Page>
  );
}

/** Where a page broke: most often a new version came while the old one was open, and its files are gone. */
export function RouteFailed() {
  const error = useRouteError();
  return (
    <div className="page">
      <Failed error={error} onRetry={() => location.reload()} />
    </div>
  );
}

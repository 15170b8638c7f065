import { useRouteError } from "react-router";
import { ButtonLink } from "../ui/Button.tsx";
import { Page } from "../ui/Page.tsx";
import { EmptyState, ErrorState } from "../ui/feedback.tsx";

/** Page for addresses that no route matches. */
export function NotFound() {
  return (
    <Page title="Not found">
      <EmptyState title="This page does not exist" action={<ButtonLink to="/dashboards" variant="primary">Go to dashboards</ButtonLink>}>
        <p>The address may be wrong, or the item was deleted.</p>
      </EmptyState>
    </Page>
  );
}

/** Error boundary of the routes. The usual cause is an open page whose chunks no longer exist after an upgrade. */
export function RouteError() {
  const error = useRouteError();
  return (
    <div className="page">
      <ErrorState error={error} onRetry={() => location.reload()} />
    </div>
  );
}

import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type FormEvent } from "react";
import { ApiError, toApiError, errorMessage } from "../api/error.ts";
import { api } from "../api/client.ts";
import { sessionQuery } from "../api/queries.ts";
import { Button } from "../ui/Button.tsx";
import { TextField } from "../ui/Field.tsx";
import { Alert } from "../ui/feedback.tsx";
import { Logo } from "./Logo.tsx";
import { ThemeMenu } from "./theme.tsx";

/** Sign-in form: exchanges an API key for a session. */
export function SignIn({ ended, onSignIn }: { ended: boolean; onSignIn: () => void }) {
  const client = useQueryClient();
  const [key, setKey] = useState("");
  useEffect(() => {
    document.title = "Sign in · Tidemark";
  }, []);
  const signIn = useMutation({
    mutationFn: async () => {
      // Not `unwrap`: a 401 means a wrong key here, not an ended session.
      const { data, error, response } = await api.POST("/api/v1/session", { body: { key: key.trim() } });
      if (!data) throw toApiError(response.status, error);
      return data;
    },
    onSuccess: (session) => {
      onSignIn();
      client.setQueryData(sessionQuery.queryKey, session);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim()) signIn.mutate();
  };
  const error = signIn.error && signInErrorMessage(signIn.error);
  return (
    <main className="sign-in">
      <div className="sign-in-theme"><ThemeMenu /></div>
      <form className="sign-in-card" onSubmit={submit} noValidate>
        <Logo />
        <h1>Sign in to your project</h1>
        {ended && !signIn.error && <Alert kind="warn">Your session has ended. Either the key was revoked, or the session is older than a week.</Alert>}
        <TextField label="Project key" type="password" autoComplete="current-password" autoFocus value={key} spellCheck={false}
          onChange={(event) => setKey(event.target.value)} placeholder="tm_…" error={error ?? undefined}
          hint="The key that was shown when the project was created, or any key with the “read” or “manage” scope." />
        <Button type="submit" variant="primary" busy={signIn.isPending} disabled={!key.trim()}>Sign in</Button>
      </form>
      <p className="sign-in-foot muted small">
        For a local installation, <code>deploy/local/up</code> prints the key of the demo project when it finishes.
      </p>
    </main>
  );
}

function signInErrorMessage(error: unknown): string {
  if (error instanceof ApiError && error.code === "insufficient_scope") {
    return "This key can only send metrics, or it is the operator token. Sign in with a key that has the “read” or “manage” scope.";
  }
  return errorMessage(error);
}

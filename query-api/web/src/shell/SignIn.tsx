import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type FormEvent } from "react";
import { ApiError, errorOf, messageOf } from "../api/error.ts";
import { api } from "../api/client.ts";
import { sessionQuery } from "../api/queries.ts";
import { Button } from "../ui/Button.tsx";
import { TextField } from "../ui/Field.tsx";
import { Alert } from "../ui/states.tsx";
import { Logo } from "./Logo.tsx";
import { ThemeButton } from "./theme.tsx";

/** The way in: a key for a session. */
export function SignIn({ ended, onSignIn }: { ended: boolean; onSignIn: () => void }) {
  const client = useQueryClient();
  const [key, setKey] = useState("");
  useEffect(() => {
    document.title = "Sign in · Tidemark";
  }, []);
  const signIn = useMutation({
    mutationFn: async () => {
      // Not by `of`: a wrong key here is no session that has ended.
      const { data, error, response } = await api.POST("/api/v1/session", { body: { key: key.trim() } });
      if (!data) throw errorOf(response.status, error);
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
  const error = signIn.error && explain(signIn.error);
  return (
    <main className="sign-in">
      <div className="sign-in-theme"><ThemeButton /></div>
      <form className="sign-in-card" onSubmit={submit} noValidate>
        <Logo />
        <h1>Sign in to your project</h1>
        {ended && !signIn.error && <Alert kind="warn">Your session has ended: the key was revoked, or a week has passed.</Alert>}
        <TextField label="Project key" type="password" autoComplete="current-password" autoFocus value={key} spellCheck={false}
          onChange={(event) => setKey(event.target.value)} placeholder="tm_…" error={error ?? undefined}
          hint="The key that was shown when the project was made, or any key with the scope “read” or “manage”." />
        <Button type="submit" look="primary" busy={signIn.isPending} disabled={!key.trim()}>Sign in</Button>
      </form>
      <p className="sign-in-foot quiet small">
        On your own machine, <code>deploy/local/up</code> prints the key of the demo project as it ends.
      </p>
    </main>
  );
}

function explain(error: unknown): string {
  if (error instanceof ApiError && error.code === "insufficient_scope") {
    return "This key may only send metrics, or is the operator’s: sign in with one that may read or manage the project.";
  }
  return messageOf(error);
}

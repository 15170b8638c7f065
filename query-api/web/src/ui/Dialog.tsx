import { Dialog as AriaDialog, DialogDismiss, DialogHeading } from "@ariakit/react";
import type { FormEvent, ReactNode } from "react";
import { messageOf } from "../api/error.ts";
import { Button } from "./Button.tsx";
import { CrossIcon } from "./icons.tsx";
import { Alert } from "./states.tsx";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}

/** A dialog over the page. It is there as long as it is rendered; who opened it goes on where they were (focus.ts). */
export function Dialog({ title, onClose, children, wide }: Props) {
  return (
    <AriaDialog open onClose={onClose} unmountOnHide autoFocusOnHide={false} backdrop={<div className="backdrop" />} className={`dialog${wide ? " dialog-wide" : ""}`}>
      <div className="dialog-head">
        <DialogHeading className="dialog-title">{title}</DialogHeading>
        <DialogDismiss className="button button-quiet button-bare button-small" aria-label="Close"><CrossIcon /></DialogDismiss>
      </div>
      {children}
    </AriaDialog>
  );
}

interface FormProps extends Props {
  action: string;
  danger?: boolean;
  busy: boolean;
  error: unknown;
  disabled?: boolean;
  onSubmit: () => void;
}

/** A dialog that is sent off by one button, or by Enter. */
export function FormDialog({ action, danger, busy, error, disabled, onSubmit, children, ...rest }: FormProps) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!busy && !disabled) onSubmit();
  };
  return (
    <Dialog {...rest}>
      <form onSubmit={submit} noValidate>
        <div className="dialog-body">
          {children}
          {error ? <Alert>{messageOf(error)}</Alert> : null}
        </div>
        <div className="dialog-foot">
          <Button onClick={rest.onClose}>Cancel</Button>
          <Button type="submit" look={danger ? "danger" : "primary"} busy={busy} disabled={disabled}>{action}</Button>
        </div>
      </form>
    </Dialog>
  );
}

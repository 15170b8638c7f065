import { Dialog as AriaDialog, DialogDismiss, DialogHeading } from "@ariakit/react";
import type { FormEvent, ReactNode } from "react";
import { errorMessage } from "../api/error.ts";
import { Button } from "./Button.tsx";
import { CloseIcon } from "./icons.tsx";
import { Alert } from "./feedback.tsx";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}

/** Modal dialog, open while it is rendered. restoreFocus.ts returns the focus when it closes. */
export function Dialog({ title, onClose, children, wide }: Props) {
  return (
    <AriaDialog open onClose={onClose} unmountOnHide autoFocusOnHide={false} backdrop={<div className="backdrop" />} className={`dialog${wide ? " dialog-wide" : ""}`}>
      <div className="dialog-head">
        <DialogHeading className="dialog-title">{title}</DialogHeading>
        <DialogDismiss className="button button-quiet button-icon-only button-small" aria-label="Close"><CloseIcon /></DialogDismiss>
      </div>
      {children}
    </AriaDialog>
  );
}

interface FormProps extends Props {
  submitLabel: string;
  danger?: boolean;
  busy: boolean;
  error: unknown;
  disabled?: boolean;
  onSubmit: () => void;
}

/** Dialog with a form, which is submitted by one button or by Enter. */
export function FormDialog({ submitLabel, danger, busy, error, disabled, onSubmit, children, ...rest }: FormProps) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!busy && !disabled) onSubmit();
  };
  return (
    <Dialog {...rest}>
      <form onSubmit={submit} noValidate>
        <div className="dialog-body">
          {children}
          {error ? <Alert>{errorMessage(error)}</Alert> : null}
        </div>
        <div className="dialog-foot">
          <Button onClick={rest.onClose}>Cancel</Button>
          <Button type="submit" variant={danger ? "danger" : "primary"} busy={busy} disabled={disabled}>{submitLabel}</Button>
        </div>
      </form>
    </Dialog>
  );
}

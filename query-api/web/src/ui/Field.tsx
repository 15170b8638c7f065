import { useId, type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes } from "react";

interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string;
}

function FieldLayout({ label, hint, error, children }: FieldProps & { children: (ids: { id: string; describedBy: string | undefined }) => ReactNode }) {
  const id = useId();
  const describedBy = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>{label}</label>
      {children({ id, describedBy })}
      {hint && <span className="field-hint" id={`${id}-hint`}>{hint}</span>}
      {error && <span className="field-error" id={`${id}-error`}>{error}</span>}
    </div>
  );
}

/** Text input with label. `autoFocus` also sets `data-autofocus`, which dialogs use to choose the initial focus. */
export function TextField({ label, hint, error, ...rest }: FieldProps & InputHTMLAttributes<HTMLInputElement>) {
  return (
    <FieldLayout label={label} hint={hint} error={error}>
      {({ id, describedBy }) => (
        <input type="text" autoComplete="off" {...rest} data-autofocus={rest.autoFocus || undefined} id={id} className="input" aria-describedby={describedBy} aria-invalid={error ? true : undefined} />
      )}
    </FieldLayout>
  );
}

/** Select with label, hint and error. */
export function SelectField({ label, hint, error, options, ...rest }: FieldProps & { options: readonly (readonly [string, string])[] } & SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <FieldLayout label={label} hint={hint} error={error}>
      {({ id, describedBy }) => (
        <select {...rest} id={id} className="input select" aria-describedby={describedBy} aria-invalid={error ? true : undefined}>
          {options.map(([value, name]) => <option key={value} value={value}>{name}</option>)}
        </select>
      )}
    </FieldLayout>
  );
}

/** Compact select without a visible label. */
export function SmallSelect({ label, options, ...rest }: { label: string; options: readonly (readonly [string, string])[] } & SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <select {...rest} aria-label={label} className="input select select-small">
      {options.map(([value, name]) => <option key={value} value={value}>{name}</option>)}
    </select>
  );
}

/** Checkbox with label. */
export function CheckField({ label, hint, ...rest }: { label: string; hint?: ReactNode } & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <div className="check">
      <input type="checkbox" {...rest} id={id} aria-describedby={hint ? `${id}-hint` : undefined} />
      <div>
        <label htmlFor={id}>{label}</label>
        {hint && <span className="field-hint" id={`${id}-hint`}>{hint}</span>}
      </div>
    </div>
  );
}

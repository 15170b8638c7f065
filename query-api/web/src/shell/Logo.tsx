/** Product logo with name. */
export function Logo() {
  return (
    <span className="logo">
      <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
        <rect width="32" height="32" rx="8" className="logo-background" />
        <path d="M5 20.5c3.2 0 3.2-3.4 6.4-3.4s3.2 3.4 6.4 3.4 3.2-3.4 6.4-3.4c1.3 0 2.1.5 2.8 1.1" className="logo-wave" />
        <path d="M5 14c3.2 0 3.2-3.4 6.4-3.4S14.6 14 17.8 14s3.2-3.4 6.4-3.4c1.3 0 2.1.5 2.8 1.1" className="logo-wave logo-far" />
      </svg>
      Tidemark
    </span>
  );
}

import type { ReactNode } from "react";
import type { WidgetType } from "../../api/types.ts";

const ICONS: Record<WidgetType, ReactNode> = {
  number: <text x="16" y="18" textAnchor="middle" fontSize="15" fontWeight="700" fill="currentColor" stroke="none">42</text>,
  line: <path d="m4 16 7-7 6 5 10-10" />,
  area: <><path d="m4 16 7-7 6 5 10-10" /><path d="m4 16 7-7 6 5 10-10v16H4z" fill="currentColor" stroke="none" opacity=".25" /></>,
  bar: <path d="M7 20v-8M14 20V5M21 20v-11M28 20V8" strokeWidth="4" strokeLinecap="butt" />,
  table: <path d="M4 5h24M4 10.5h24M4 16h24M12 5v15" />,
  gauge: <path d="M5 19a11 11 0 0 1 22 0M16 18l5-6" />,
};

export function WidgetTypeIcon({ type }: { type: WidgetType }) {
  return (
    <svg width="32" height="24" viewBox="0 0 32 24" fill="none" stroke="currentColor" strokeWidth="2" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      {ICONS[type]}
    </svg>
  );
}

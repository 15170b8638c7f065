import type { ReactNode } from "react";

/** Creates an icon in the current text colour. Icons are decorative and hidden from screen readers. */
function icon(children: ReactNode) {
  return function Icon({ size = 18 }: { size?: number }) {
    return (
      <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.75"
        strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false" className="icon">
        {children}
      </svg>
    );
  };
}

export const DashboardIcon = icon(<><rect x="3.5" y="3.5" width="7" height="9" rx="1.5" /><rect x="13.5" y="3.5" width="7" height="5" rx="1.5" /><rect x="13.5" y="11.5" width="7" height="9" rx="1.5" /><rect x="3.5" y="15.5" width="7" height="5" rx="1.5" /></>);
export const MetricIcon = icon(<><path d="M3.5 20.5h17" /><path d="m4.5 15 4.5-5 4 3.5 6.5-8" /></>);
export const BellIcon = icon(<><path d="M6 9.5a6 6 0 0 1 12 0c0 5 2 6.5 2 6.5H4s2-1.5 2-6.5" /><path d="M10 19.5a2.2 2.2 0 0 0 4 0" /></>);
export const PlugIcon = icon(<><path d="M9 3v5M15 3v5" /><path d="M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0z" /><path d="M12 17v4" /></>);
export const GaugeIcon = icon(<><path d="M4 17.5a9 9 0 1 1 16 0" /><path d="m12 14 4-4.5" /><circle cx="12" cy="14" r="1.3" /></>);
export const SettingsIcon = icon(<><path d="M4 7h9M17 7h3M4 17h3M11 17h9" /><circle cx="15" cy="7" r="2" /><circle cx="9" cy="17" r="2" /></>);
export const InboxIcon = icon(<><path d="M3.5 13.5 6 5h12l2.5 8.5V18a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 18z" /><path d="M3.5 13.5H8.5a3.5 3.5 0 0 0 7 0h5" /></>);
export const PlusIcon = icon(<path d="M12 5v14M5 12h14" />);
export const CopyIcon = icon(<><rect x="8.5" y="8.5" width="11" height="11" rx="2" /><path d="M15.5 8.5v-2a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2h2" /></>);
export const CheckIcon = icon(<path d="m5 12.5 4.5 4.5L19 7" />);
export const CloseIcon = icon(<path d="m6 6 12 12M18 6 6 18" />);
export const MoreIcon = icon(<><circle cx="5" cy="12" r="1" /><circle cx="12" cy="12" r="1" /><circle cx="19" cy="12" r="1" /></>);
export const SearchIcon = icon(<><circle cx="11" cy="11" r="6.5" /><path d="m16 16 4.5 4.5" /></>);
export const SunIcon = icon(<><circle cx="12" cy="12" r="4" /><path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4" /></>);
export const MoonIcon = icon(<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z" />);
export const SystemIcon = icon(<><rect x="3.5" y="4.5" width="17" height="12" rx="2" /><path d="M9 20h6M12 16.5V20" /></>);
export const MenuIcon = icon(<path d="M4 7h16M4 12h16M4 17h16" />);
export const SignOutIcon = icon(<><path d="M14 4.5H6.5a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2H14" /><path d="M10 12h10.5M17 8.5l3.5 3.5-3.5 3.5" /></>);
export const BackIcon = icon(<path d="M19 12H5M11 6l-6 6 6 6" />);
export const ExpandIcon = icon(<path d="M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5" />);
export const ZoomOutIcon = icon(<><circle cx="11" cy="11" r="6.5" /><path d="m16 16 4.5 4.5M8.5 11h5" /></>);
export const DownloadIcon = icon(<path d="M12 4v11M7 10.5l5 5 5-5M4.5 19.5h15" />);
export const TrashIcon = icon(<path d="M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 12.5h9l1-12.5M10 11v5M14 11v5" />);
export const PencilIcon = icon(<path d="m4.5 19.5 1-4.5L16 4.5l3.5 3.5L9 18.5zM14 6.5l3.5 3.5" />);
export const KeyIcon = icon(<><circle cx="8" cy="15.5" r="4" /><path d="m11 12.5 8.5-8.5M16 7.5l2.5 2.5M13.5 10l2 2" /></>);
export const WarnIcon = icon(<><path d="M12 4 2.8 19.5h18.4z" /><path d="M12 10v4.5M12 17v.1" /></>);
export const DragIcon = icon(<><path d="M9 6v.1M15 6v.1M9 12v.1M15 12v.1M9 18v.1M15 18v.1" strokeWidth="2.5" /></>);
export const ClockIcon = icon(<><circle cx="12" cy="12" r="8.5" /><path d="M12 7v5l3.5 2" /></>);
export const RotateIcon = icon(<><path d="M20 11.5a8 8 0 0 0-14.5-4L3.5 10M3.5 5v5h5" /><path d="M4 12.5a8 8 0 0 0 14.5 4l2-2.5M20.5 19v-5h-5" /></>);
export const BookIcon = icon(<path d="M5 5.5A1.5 1.5 0 0 1 6.5 4H19v13.5H6.5A1.5 1.5 0 0 0 5 19zM5 19a1.5 1.5 0 0 0 1.5 1.5H19v-3" />);

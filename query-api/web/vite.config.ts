import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const api = process.env.QUERY_URL ?? "http://127.0.0.1:8090";

export default defineConfig({
  plugins: [react()],
  build: {
    // dist/.gitignore is tracked; scripts/clean.mjs removes everything else.
    emptyOutDir: false,
    // The content security policy allows data: URLs for images only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/api": api, "/docs": api } },
});

import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const api = process.env.QUERY_URL ?? "http://127.0.0.1:8090";

export default defineConfig({
  plugins: [react()],
  build: {
    // The directory holds a file that git knows; scripts/clean.mjs removes the rest.
    emptyOutDir: false,
    // The policy allows no data: URL but for images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { "/api": api, "/docs": api } },
});

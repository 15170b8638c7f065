import "@fontsource-variable/inter/wght.css";
import "./styles/index.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router";
import { ApiError } from "./api/error.ts";
import { router } from "./router.tsx";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) => count < 3 && (!(error instanceof ApiError) || error.isTransient),
      // Queries run while the browser is offline too: they fail, the page shows a banner and keeps polling.
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}

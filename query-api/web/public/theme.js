// Applies the stored theme before the first paint, so that dark mode does not start with a white flash.
(function () {
  try {
    var theme = localStorage.getItem("tidemark.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // The browser may block storage. The system preference applies then.
  }
})();

// Applies the stored choice of light or dark before the first paint. Without one, the style sheet
// follows the system.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("rocket_batch.theme");
  } catch {
    // Storage is blocked: follow the system.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();

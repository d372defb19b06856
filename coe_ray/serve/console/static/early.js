// Before the first paint: the theme and the language that were chosen last, so that nothing flashes.
(() => {
  const chosen = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage is blocked: the browser's own choice stands
    }
  };
  const root = document.documentElement;
  root.dataset.theme = chosen("coe-theme") ?? "auto";
  root.lang = chosen("coe-language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
})();

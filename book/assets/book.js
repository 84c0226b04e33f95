// What a page does by itself: boxes that scroll can be reached by keyboard, paper shows all.
"use strict";

(() => {
  // Code, outputs, tables and equations wider than the page scroll inside. The theme makes such
  // boxes focusable once, and forgets equations and what is folded away.
  const boxes = ".katex-display, .bd-article pre, .cell_output > .output, .pst-scrollable-table-container";

  function reach() {
    const all = [...document.querySelectorAll(boxes)];
    const scroll = all.map(
      (box) => box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight,
    ); // measured before anything changes: the page is laid out once
    all.forEach((box, index) => {
      const attributes = { tabindex: "0" };
      if (box.matches(".katex-display")) {
        attributes.role = "group";
        attributes["aria-label"] = "Equation, scrolls sideways";
      }
      for (const [name, value] of Object.entries(attributes)) {
        if (scroll[index]) box.setAttribute(name, value);
        else box.removeAttribute(name);
      }
    });
  }

  let soon;
  addEventListener("resize", () => {
    clearTimeout(soon);
    soon = setTimeout(reach, 400); // ms, after the theme's own 300
  });
  addEventListener("load", () => setTimeout(reach));
  document.addEventListener("toggle", reach, true); // it does not bubble
  document.fonts?.ready.then(reach);

  // Paper is white and cannot be clicked: it gets the light theme, and what is folded away.
  const unfolded = [];
  const page = document.documentElement;
  let theme;
  addEventListener("beforeprint", () => {
    theme = page.dataset.theme;
    page.dataset.theme = "light";
    for (const folded of document.querySelectorAll("details:not([open])")) {
      folded.open = true;
      unfolded.push(folded);
    }
  });
  addEventListener("afterprint", () => {
    page.dataset.theme = theme;
    for (const each of unfolded.splice(0)) each.open = false;
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-prints]")) print();
  });

  // From disk no page may read another, so that the search shows titles without extracts.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
})();

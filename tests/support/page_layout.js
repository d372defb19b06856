// What a person would see at once on a page: texts that overlap, and what is cut off or beyond the edge.
({
  overlaps() {
    const boxes = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode;
      // The first column of a heat map lies above those that are scrolled below it.
      if (text.data.trim() && !text.parentElement.closest("select, .heat tr > :first-child")) boxes.push(...seen(text));
    }
    const found = [];
    for (const [one, [first, a]] of boxes.entries()) {
      for (const [second, b] of boxes.slice(one + 1)) {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (first !== second && wide > 2 && high > 5) found.push(`${first.data.trim()} | ${second.data.trim()}`);
      }
    }
    return found;

    // The boxes of a text's lines, as far as nothing around it hides them.
    function seen(text) {
      if (!text.parentElement.checkVisibility({ visibilityProperty: true })) return [];
      const range = document.createRange();
      range.selectNodeContents(text);
      const boxes = [...range.getClientRects()].map(({ left, right, top, bottom }) => ({ left, right, top, bottom }));
      for (let each = text.parentElement; each; each = each.parentElement) {
        if (getComputedStyle(each).overflowX === "visible") continue;
        const edge = each.getBoundingClientRect();
        for (const box of boxes) {
          Object.assign(box, { left: Math.max(box.left, edge.left), right: Math.min(box.right, edge.right) });
          Object.assign(box, { top: Math.max(box.top, edge.top), bottom: Math.min(box.bottom, edge.bottom) });
        }
      }
      return boxes.filter((box) => box.right - box.left > 1 && box.bottom - box.top > 1).map((box) => [text, box]);
    }
  },

  cut() {
    const width = document.documentElement.clientWidth;
    const found = document.documentElement.scrollWidth > width ? [`the page is ${document.documentElement.scrollWidth} wide`] : [];
    const meant = ".unseen, .skip, .scroll *, .examples span, .rows a, .rows .said, .cards thead *, select, dialog:not([open]), svg *";
    for (const element of document.querySelectorAll("body *")) {
      if (element.closest(meant) || !element.checkVisibility()) continue;
      const box = element.getBoundingClientRect();
      const name = `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 40)}`;
      if (box.right > width + 1 || box.left < -1) found.push(`beyond the edge: ${name}`);
      const hides = getComputedStyle(element).overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1;
      if (hides && !element.matches(".scroll, .cards thead, textarea")) found.push(`cut: ${name}`);
    }
    return found;
  },
})

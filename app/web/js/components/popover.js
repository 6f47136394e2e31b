// A popover beside the button that opens it: on a click or tap, while the pointer rests on either, or when the keyboard comes
// to the button. Esc and a click elsewhere close it (the browser's own light dismissal).

const OPENS_AFTER_MS = 120;
const CLOSES_AFTER_MS = 300; // time to move the pointer from the button into the popover (WCAG 1.4.13)
const GAP_PX = 8;

/** `make`: called at the first opening; gives the popover's element, which need not be in the document. */
export function attachPopover(opener, make) {
  let popover = null;
  let timer = 0;
  let isPinned = false;
  let isClosing = false;

  const ready = () => {
    if (popover) return popover;
    popover = make();
    popover.popover = "auto";
    opener.parentElement.append(popover); // next in the order of focus
    opener.popoverTargetElement = popover;
    popover.addEventListener("mouseenter", () => clearTimeout(timer));
    popover.addEventListener("mouseleave", closeSoon);
    popover.addEventListener("beforetoggle", (event) => {
      opener.setAttribute("aria-expanded", String(event.newState === "open"));
      if (event.newState === "open") return;
      isPinned = false;
      isClosing = true; // the focus comes back to the button now, which is no reason to open again
      setTimeout(() => { isClosing = false; });
    });
    const follow = () => place(popover, opener);
    popover.addEventListener("toggle", (event) => {
      if (event.newState === "open") {
        follow();
        addEventListener("scroll", follow, { passive: true });
      } else {
        removeEventListener("scroll", follow);
      }
    });
    return popover;
  };
  const isOpen = () => popover?.matches(":popover-open") ?? false;
  const open = () => {
    clearTimeout(timer);
    if (!isOpen() && opener.isConnected) ready().showPopover({ source: opener });
  };
  const closeSoon = () => {
    clearTimeout(timer);
    if (!isPinned) timer = setTimeout(() => { if (isOpen() && !popover.contains(document.activeElement)) popover.hidePopover(); }, CLOSES_AFTER_MS);
  };

  opener.setAttribute("aria-expanded", "false");
  opener.addEventListener("pointerenter", (event) => {
    if (event.pointerType !== "mouse") return;
    clearTimeout(timer);
    timer = setTimeout(open, OPENS_AFTER_MS);
  });
  opener.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") closeSoon(); });
  opener.addEventListener("focus", () => { if (!isClosing && opener.matches(":focus-visible")) open(); });
  opener.addEventListener("blur", (event) => { if (!popover?.contains(event.relatedTarget)) closeSoon(); });
  opener.addEventListener("click", (event) => {
    event.preventDefault(); // we decide: what the pointer opened by resting, a click keeps open
    if (isOpen() && isPinned) { popover.hidePopover(); return; }
    open();
    isPinned = true;
    if (event.detail === 0) popover.querySelector("a, button")?.focus(); // from the keyboard: go in
  });
}

/** Below the opener, or above where there is more room, and within the column of text; narrow screens show it as a sheet at the
    bottom (ask.css). */
function place(popover, opener) {
  if (matchMedia("(max-width: 40rem)").matches) {
    popover.style.removeProperty("left");
    popover.style.removeProperty("top");
    return;
  }
  const at = opener.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = popover;
  const column = opener.closest("article, main").getBoundingClientRect();
  const left = Math.max(column.left, Math.min(at.left + at.width / 2 - width / 2, column.right - width));
  const below = at.bottom + GAP_PX;
  const fitsBelow = below + height <= innerHeight - GAP_PX || at.top < innerHeight - at.bottom;
  popover.style.left = `${left}px`;
  popover.style.top = `${fitsBelow ? below : Math.max(GAP_PX, at.top - GAP_PX - height)}px`;
}

// Fetches the page again and swaps its body; a failure is shown and tried again.
"use strict";
const EVERY_MS = 5000;
async function refresh() {
  try {
    if (!document.hidden && !String(getSelection())) {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.body.replaceWith(page.body);
      document.title = page.title;
    }
    document.body.classList.remove("stale");
  } catch {
    document.body.classList.add("stale");
    document.title = "no answer · Weir";
  }
  setTimeout(refresh, EVERY_MS);
}
setTimeout(refresh, EVERY_MS);

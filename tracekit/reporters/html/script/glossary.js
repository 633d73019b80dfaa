// Words of the trade, explained where they stand: each is a button that says what it means.

import { button, el } from "./dom.js";

export class Glossary {
  /** `terms`: word and meaning. */
  constructor(terms) {
    this.meanings = new Map(terms);
    const words = [...this.meanings.keys()].sort((a, b) => b.length - a.length);
    this.pattern = words.length ? new RegExp(`\\b(${words.join("|")})(?:s|es)?\\b`, "gi") : null;
    this.note = el("div", { class: "meaning", id: "meaning", role: "note", hidden: true });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") this.hide(); });
    document.addEventListener("click", (event) => { if (!event.target.closest(".term, .meaning")) this.hide(); });
  }

  /** A text as nodes, the first of each word explained; `said`: words that need it no more. */
  explain(text, said = new Set()) {
    if (!this.pattern) return [text];
    const nodes = [];
    let from = 0;
    for (const match of text.matchAll(this.pattern)) {
      const word = match[1].toLowerCase();
      if (said.has(word)) continue;
      said.add(word);
      nodes.push(text.slice(from, match.index), this.term(match[0], word));
      from = match.index + match[0].length;
    }
    return [...nodes, text.slice(from)];
  }

  term(text, word) {
    const made = button(text, () => (this.asked === made ? this.hide() : this.show(made, word)), { class: "term", "aria-expanded": "false" });
    return made;
  }

  show(asked, word) {
    this.hide();
    this.asked = asked;
    asked.setAttribute("aria-expanded", "true");
    asked.setAttribute("aria-describedby", "meaning");
    this.note.replaceChildren(el("b", {}, word), el("p", {}, this.meanings.get(word)));
    this.note.hidden = false;
    const box = asked.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - this.note.offsetWidth - 8);
    this.note.style.left = `${Math.max(8, left) + window.scrollX}px`;
    this.note.style.top = `${box.bottom + window.scrollY + 4}px`;
  }

  hide() {
    if (!this.asked) return;
    this.asked.setAttribute("aria-expanded", "false");
    this.asked.removeAttribute("aria-describedby");
    this.asked = null;
    this.note.hidden = true;
  }
}

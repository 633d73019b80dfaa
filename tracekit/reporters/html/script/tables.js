// Tables to sort, search and copy; a row takes the timeline to its span, and tells how to get the same rows elsewhere.

import { button, copy, el } from "./dom.js";
import { duration, integer, shellQuote } from "./words.js";

const PAGE = 100; // rows shown at first
const TEXT = new Set(["string", "category", "thread"]);

export class Tables {
  constructor(about, timeline, whose, announce) {
    this.about = about;
    this.timeline = timeline;
    this.announce = announce;
    const id = whose || "only";
    about.tables.find(({ name }) => name === "threads").spans = about.threads.map((_, thread) => this.laneOf(thread));
    const tables = [this.findings(), ...about.tables].filter((table) => table.rows.length || table.name === "diagnostics");
    this.tabs = tables.map((table, i) =>
      el(
        "button",
        {
          type: "button", role: "tab", id: `tab-${id}-${table.name}`, "aria-controls": `panel-${id}`, tabindex: i ? -1 : 0,
          onclick: () => this.open(i), onkeydown: (event) => this.tabKey(event, i),
        },
        table.title, el("span", {}, integer(table.rows.length)),
      ),
    );
    this.tables = tables;
    this.panel = el("div", { role: "tabpanel", id: `panel-${id}` });
    this.element = el(
      "div",
      {},
      whose ? el("h3", {}, el("span", { class: "badge" }, whose), about.name) : null,
      el("div", { class: "tabs", role: "tablist" }, this.tabs),
      this.panel,
    );
    this.open(0);
  }

  /** All of a thread's lane, as a span to show. */
  laneOf(thread) {
    const { picture, events } = this.about;
    return { begin: 0, end: picture.duration, startSeq: 0, endSeq: events, threads: [thread], kind: "accent" };
  }

  /** The findings as a table of their own: the sentences, with what they cost. */
  findings() {
    const { findings, path } = this.about;
    return {
      name: "findings",
      title: "Findings",
      columns: [
        { name: "severity", unit: "string" },
        { name: "kind", unit: "string" },
        { name: "cost", unit: "share", about: "Share of the trace's time." },
        { name: "what", unit: "string" },
        { name: "what to do", unit: "string" },
      ],
      rows: findings.map((each) => [each.severity, each.kind.replaceAll("_", " "), each.cost, each.title, each.advice]),
      spans: findings.map((each) => each.span),
      command: `tracekit analyze ${this.about.shellPath}`,
      pandas: `pandas.DataFrame(vars(f) for f in tracekit.analyze(${JSON.stringify(path)}).findings)`,
    };
  }

  tabKey(event, place) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = (place + by + this.tabs.length) % this.tabs.length;
    this.open(next);
    this.tabs[next].focus();
  }

  open(place) {
    this.tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === place));
      tab.tabIndex = i === place ? 0 : -1;
    });
    this.table = this.tables[place];
    this.panel.setAttribute("aria-labelledby", this.tabs[place].id);
    this.sorted = null;
    this.wanted = "";
    this.most = PAGE;
    this.show();
  }

  text(value, unit) {
    if (value === null || value === undefined) return unit === "thread" ? "nobody" : "–";
    if (unit === "thread") return this.about.threads[value].label;
    if (unit === "clock") return duration(value, this.about.unit);
    if (unit === "moment") return this.about.unit === "ns" ? `+${duration(value, "ns")}` : integer(value);
    if (unit === "share") return `${(100 * value).toFixed(1)} %`;
    if (unit === "ratio" || unit === "float64") return Number(value).toLocaleString("en", { maximumFractionDigits: 1 });
    return typeof value === "number" ? integer(value) : String(value);
  }

  /** The places of the rows to show, found and sorted. */
  places() {
    const { rows, columns } = this.table;
    const wanted = this.wanted.toLowerCase();
    const places = rows.map((_, i) => i).filter((i) => !wanted || this.line(i).some((text) => text.toLowerCase().includes(wanted)));
    if (!this.sorted) return places;
    const { column, down } = this.sorted;
    const text = TEXT.has(columns[column].unit);
    const value = (i) => (columns[column].unit === "thread" ? this.text(rows[i][column], "thread") : rows[i][column]);
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (down ? -1 : 1) * (text ? String(x).localeCompare(String(y), "en", { numeric: true }) : x - y);
    };
    return places.sort(compare);
  }

  line(i) {
    return this.table.rows[i].map((value, column) => this.text(value, this.table.columns[column].unit));
  }

  show() {
    const { table } = this;
    const search = el("input", {
      type: "search", placeholder: "search", "aria-label": `Search ${table.title}`,
      oninput: () => { this.wanted = search.value; this.fill(); },
    });
    this.body = el("tbody");
    this.head = el("thead");
    this.more = el("p", { class: "quiet more" });
    this.command = el("div", { class: "same" });
    this.panel.replaceChildren(
      el(
        "div",
        { class: "table-tools" },
        search,
        button("copy", () => this.copy(), { class: "plain", title: "Copy the rows, tabs between the columns" }),
        el("span", { class: "quiet" }, table.about ?? ""),
      ),
      el("div", { class: "table-scroll", tabindex: 0, role: "region", "aria-label": table.title }, el("table", {}, this.head, this.body)),
      this.more,
      this.command,
    );
    this.tellCommand(null);
    this.fill();
  }

  fill() {
    const { table } = this;
    this.head.replaceChildren(
      el(
        "tr",
        {},
        table.columns.map((column, i) => {
          const sorted = this.sorted?.column === i ? (this.sorted.down ? "descending" : "ascending") : null;
          const words = column.name.replaceAll("_", " ");
          return el("th", { scope: "col", class: TEXT.has(column.unit) ? "text" : null, "aria-sort": sorted, title: column.about }, button(words, () => this.sortBy(i)));
        }),
        table.spans ? el("th", { scope: "col" }, el("span", { class: "visually-hidden" }, "show")) : null,
      ),
    );
    const places = this.places();
    this.body.replaceChildren(...places.slice(0, this.most).map((i) => this.row(i)));
    this.more.replaceChildren();
    if (!table.rows.length) this.more.append("None: every line is an event, and every event fits.");
    else if (places.length > this.most) {
      this.more.append(`${integer(this.most)} of ${integer(places.length)} rows. `, button("show all", () => { this.most = Infinity; this.fill(); }, { class: "link" }));
    } else if (!places.length) this.more.append("No row has that.");
  }

  row(i) {
    const { table } = this;
    const span = table.spans?.[i];
    return el(
      "tr",
      { onclick: (event) => this.choose(i, event.currentTarget) },
      this.line(i).map((text, column) => el("td", { class: TEXT.has(table.columns[column].unit) ? (text.length > 60 ? "text long" : "text") : null }, text)),
      table.spans ? el("td", {}, span ? button("show", () => this.timeline.visit(span), { class: "link", "aria-label": `Show in the timeline: ${this.line(i)[0]}` }) : null) : null,
    );
  }

  choose(i, row) {
    for (const each of this.body.children) each.classList.toggle("chosen", each === row);
    this.tellCommand(i);
  }

  /** How to get the table, or the row that was chosen, on the command line and in Python. */
  tellCommand(i) {
    const { name, command, pandas, key, keys } = this.table;
    let [sql, code] = [`select * from ${name}`, pandas];
    if (i !== null && keys) {
      const value = keys[i];
      sql += ` where ${key} = ${typeof value === "number" ? value : `'${value.replaceAll("'", "''")}'`}`;
      code += `.query(${JSON.stringify(`${key} == ${JSON.stringify(value)}`)})`;
    }
    const line = command ?? `tracekit query ${this.about.shellPath} ${shellQuote(sql)}`;
    this.command.replaceChildren(
      ...[line, code].map((text) => el("div", {}, el("code", {}, text), button("copy", () => this.say(text), { class: "link" }))),
    );
  }

  async say(text) {
    await copy(text);
    this.announce("Copied.");
  }

  sortBy(column) {
    const again = this.sorted?.column === column;
    const number = !TEXT.has(this.table.columns[column].unit);
    this.sorted = { column, down: again ? !this.sorted.down : number };
    this.fill();
    this.head.querySelectorAll("button")[column].focus();
  }

  copy() {
    const names = this.table.columns.map((column) => column.name);
    const lines = [names, ...this.places().map((i) => this.table.rows[i].map((value, column) => {
      const { unit } = this.table.columns[column];
      return unit === "thread" ? this.text(value, unit) : value ?? "";
    }))];
    this.say(lines.map((line) => line.join("\t")).join("\n"));
  }
}

// What a link to the page keeps of a timeline: all that a reader has set, and nothing that is as usual.

import { ORDER } from "./model.js";
import { readRow, writeRow } from "./story.js";

/** A finding by its kind and first event; there is one of each. */
function writeBand({ kind, startSeq }) {
  return `${kind}.${startSeq}`;
}

/** `usual`: the axis on which the trace is first shown. Null is left out. */
export function stateOf(timeline, usual) {
  const { view, list, panel, selection, marked, scroller, notes, model, drawing } = timeline;
  const whole = view.span >= view.extent;
  const at = (value) => (view.axis === ORDER ? value.toFixed(2) : Math.round(value));
  return {
    axis: view.axis === usual ? null : view.axis,
    from: whole ? null : at(view.from),
    to: whole ? null : at(view.to),
    ...list.state,
    scroll: scroller.scrollTop ? Math.round(scroller.scrollTop) : null,
    finding: model.about.bands.includes(marked) ? writeBand(marked) : null,
    lock: panel.item ? writeRow(panel.item) : null,
    select: selection.stretch ? selection.stretch.map(at).join("-") : null,
    arrows: drawing.arrows ? "all" : null,
    notes: notes.state,
  };
}

export function restore(timeline, said) {
  const { view, list, panel, selection, notes, model, drawing } = timeline;
  const axes = timeline.axes().map(([axis]) => axis);
  if (axes.includes(said.axis) && said.axis !== view.axis) view.use(said.axis);
  list.restore(said);
  if (said.to > said.from) view.set(said.from, said.to);
  timeline.marked = model.about.bands.find((band) => writeBand(band) === said.finding) ?? null;
  drawing.arrows = said.arrows === "all";
  notes.restore(said.notes);
  panel.lock(readRow(model, said.lock));
  const stretch = /^(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(said.select ?? "");
  selection.select(stretch ? [Number(stretch[1]), Number(stretch[2])] : null);
  timeline.draw(); // before there is that much to scroll
  timeline.scroller.scrollTop = Number(said.scroll) || 0;
  timeline.changed();
}

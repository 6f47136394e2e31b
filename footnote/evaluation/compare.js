"use strict";
// Any two configurations, question by question. Texts of strangers reach the page as text nodes alone.
(() => {
  const evaluation = JSON.parse(document.getElementById("evaluation").textContent);
  const place = document.getElementById("comparison");
  const AT_ONCE = 20, SHOWN = 3, EVEN = 1e-4;

  const element = (name, properties = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key in made) made[key] = value;
      else made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };
  const drawn = (name, attributes = {}) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const decimals = (value) => value.toFixed(3).replace(/^0\./, ".");
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + decimals(Math.abs(value));
  const option = (value, text, selected) => element("option", { value, selected }, text);
  const select = (label, id, options, onchange) =>
    element("label", {}, label, element("select", { id, onchange }, ...options));

  const state = { set: 0, first: "", second: "", order: "wins", shown: AT_ONCE };
  const current = () => evaluation.sets[state.set];

  function chooseSet(index) {
    state.set = index;
    const names = current().configurations.map(([name]) => name);
    state.first = current().reference;
    const others = names.filter((name) => name !== state.first);
    state.second = others.includes("bm25") ? "bm25" : others.at(-1) ?? state.first;
    state.shown = AT_ONCE;
  }

  function differences() {
    return current().questions.map((question) => ({
      question,
      change: question.found[state.first][0] - question.found[state.second][0],
    }));
  }

  function choices() {
    const changed = (key) => (event) => { state[key] = event.target.value; state.shown = AT_ONCE; draw(event.target.id); };
    const configurations = (chosen) =>
      current().configurations.map(([name, title]) => option(name, name === title ? name : `${name}: ${title}`, name === chosen));
    const orders = [["wins", "largest gains first"], ["losses", "largest losses first"], ["asked", "as asked"]];
    return element("div", { className: "choices" },
      evaluation.sets.length > 1
        ? select("Set", "choose-set", evaluation.sets.map((one, index) => option(index, one.name, index === state.set)),
          (event) => { chooseSet(Number(event.target.value)); draw(event.target.id); })
        : null,
      select("This", "choose-first", configurations(state.first), changed("first")),
      select("beside", "choose-second", configurations(state.second), changed("second")),
      select("Order", "choose-order", orders.map(([value, text]) => option(value, text, value === state.order)), changed("order")));
  }

  function verdicts(all) {
    const wins = all.filter((one) => one.change > EVEN).length;
    const losses = all.filter((one) => one.change < -EVEN).length;
    const mean = all.reduce((sum, one) => sum + one.change, 0) / all.length;
    const said = (figure, words, className = "") =>
      element("li", {}, element("strong", { className }, String(figure)), ` ${words}`);
    return element("ul", { className: "verdicts", "aria-live": "polite" },
      said(signed(mean), `${evaluation.measure} on average`),
      said(wins, "better", "better-word"), said(losses, "worse", "worse-word"), said(all.length - wins - losses, "as good"));
  }

  function scale(all) {
    const sorted = all.map((one) => one.change).sort((a, b) => b - a);
    const width = 1000, height = 150, step = width / sorted.length;
    const chart = drawn("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "scale", role: "img" });
    const title = drawn("title");
    title.textContent = `Each question's difference in ${evaluation.measure}, ${state.first} less ${state.second}, largest first`;
    chart.append(title, drawn("line", { x1: 0, x2: width, y1: height / 2, y2: height / 2, class: "axis" }));
    sorted.forEach((change, index) => {
      if (Math.abs(change) <= EVEN) return;
      const size = (Math.abs(change) * height) / 2;
      chart.append(drawn("rect", {
        x: index * step, width: Math.max(step * 0.85, 0.6), y: change > 0 ? height / 2 - size : height / 2, height: size,
        class: `bar ${change > 0 ? "better" : "worse"}`,
      }));
    });
    return element("figure", {}, chart, element("figcaption", {},
      `One bar a question: upwards where ${state.first} is better than ${state.second}, downwards where it is worse. Each half is 1 high.`));
  }

  function side(question, name) {
    const [value, ranking] = question.found[name];
    const relevant = new Map(question.relevant);
    const items = ranking.slice(0, SHOWN).map((id) => {
      const [title, text] = current().texts[id] ?? ["", ""];
      const badge = relevant.has(id) ? element("span", { className: "badge" }, "answers it") : null;
      return element("li", { className: relevant.has(id) ? "right" : "" },
        element("p", { dir: "auto" }, element("strong", {}, title || id), badge),
        element("p", { className: "snippet", dir: "auto" }, text));
    });
    return element("div", {}, element("h3", {}, `${name} · ${decimals(value)}`),
      items.length ? element("ol", { className: "found" }, ...items) : element("p", {}, "Nothing found."));
  }

  function answers(question) {
    const rank = (name, id) => {
      const at = question.found[name][1].indexOf(id);
      return at < 0 ? "not among 10" : `${at + 1}.`;
    };
    const items = question.relevant.slice(0, 10).map(([id, grade]) => {
      const [title, text] = current().texts[id] ?? ["", ""];
      return element("li", {},
        element("p", { dir: "auto" }, element("strong", {}, title || id),
          element("span", { className: "badge" }, `${state.first}: ${rank(state.first, id)}  ${state.second}: ${rank(state.second, id)}`),
          grade > 1 ? element("span", { className: "badge" }, `grade ${grade}`) : null),
        element("p", { className: "snippet", dir: "auto" }, text));
    });
    const more = question.relevant.length - items.length;
    return element("div", { className: "wide" }, element("h3", {}, "What answers it"),
      element("ul", { className: "found" }, ...items), more > 0 ? element("p", {}, `and ${more} more`) : null);
  }

  function asked({ question, change }) {
    const word = change > EVEN ? "better-word" : change < -EVEN ? "worse-word" : "";
    const details = element("details", { className: "question" },
      element("summary", {}, element("span", { className: `change ${word}` }, signed(change)), element("span", { dir: "auto" }, question.text)));
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1)
        details.append(element("div", { className: "sides" }, side(question, state.first), side(question, state.second), answers(question)));
    });
    return details;
  }

  function draw(focus) {
    const all = differences();
    const ordered = [...all];
    if (state.order === "wins") ordered.sort((a, b) => b.change - a.change);
    if (state.order === "losses") ordered.sort((a, b) => a.change - b.change);
    const more = element("button", { type: "button", onclick: () => { state.shown += AT_ONCE; draw("more"); }, id: "more" },
      `${Math.min(AT_ONCE, ordered.length - state.shown)} more of ${ordered.length}`);
    place.replaceChildren(choices(), verdicts(all), scale(all), ...ordered.slice(0, state.shown).map(asked),
      ...(ordered.length > state.shown ? [more] : []));
    place.hidden = false;
    if (focus) document.getElementById(focus)?.focus();
  }

  chooseSet(0);
  draw();
})();

"use strict";
// Draws the lines between the boxes, and filters. Without it the page can be read all the same.
(() => {
  const svgNamespace = "http://www.w3.org/2000/svg";
  const modules = [...document.querySelectorAll(".module")];
  const search = document.getElementById("search");
  const boxes = [...document.querySelectorAll("input[name=state]")];
  const shown = document.getElementById("shown");
  const unfoldedAtFirst = new Map(modules.map((module) => [module, module.open]));

  function line(from, to, origin, classes) {
    const x1 = from.right - origin.left, y1 = from.top + from.height / 2 - origin.top;
    const x2 = to.left - origin.left, y2 = to.top + to.height / 2 - origin.top;
    const bend = (x2 - x1) / 2;
    const path = document.createElementNS(svgNamespace, "path");
    path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
    path.setAttribute("class", classes);
    return path;
  }

  function draw(owner) {
    const svg = owner.querySelector(".lines");
    const paths = [];
    const origin = owner.getBoundingClientRect();
    if (origin.height && getComputedStyle(svg).display !== "none") {
      const holder = owner.querySelector(".holder");
      const ends = [...owner.querySelectorAll(".end")];
      for (const task of owner.querySelectorAll(".task:not([hidden])")) {
        const box = task.getBoundingClientRect();
        const state = task.dataset.state === "settled" ? "" : task.dataset.state;
        const dashed = (node) => (node.classList.contains("nobody") ? " nobody" : "");
        paths.push(line(holder.getBoundingClientRect(), box, origin, (dashed(holder) && state) + dashed(holder)));
        for (const number of task.dataset.ends.split(" ").filter(Boolean)) {
          const end = ends[number];
          paths.push(line(box, end.getBoundingClientRect(), origin, (dashed(end) && state) + dashed(end)));
        }
      }
    }
    svg.replaceChildren(...paths);
  }

  function drawIn(module) {
    if (module.open && !module.hidden) module.querySelectorAll(".owner").forEach(draw);
  }

  function drawAll() {
    modules.forEach(drawIn);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const narrowed = words.length > 0 || states.size < boxes.length;
    const fits = (node) => words.every((word) => node.dataset.text.includes(word));
    let count = 0;
    for (const module of modules) {
      let any = false;
      for (const owner of module.querySelectorAll(".owner")) {
        const used = new Set();
        for (const task of owner.querySelectorAll(".task")) {
          task.hidden = !(states.has(task.dataset.state) && fits(task));
          if (task.hidden) continue;
          count += 1;
          task.dataset.ends.split(" ").forEach((number) => used.add(number));
        }
        owner.hidden = used.size === 0;
        any = any || !owner.hidden;
        for (const end of owner.querySelectorAll(".end")) end.hidden = !used.has(end.dataset.end);
      }
      for (const other of module.querySelectorAll(".other")) {
        other.hidden = !(states.has("finding") && fits(other));
        any = any || !other.hidden;
      }
      module.hidden = !any;
      module.open = narrowed ? any : unfoldedAtFirst.get(module);
    }
    shown.textContent = narrowed ? `${count} task${count === 1 ? "" : "s"} shown` : "";
    drawAll();
  }

  function foldAll(open) {
    for (const module of modules) {
      module.open = open;
      unfoldedAtFirst.set(module, open);
    }
    drawAll();
  }

  document.getElementById("tools").hidden = modules.length === 0;
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("unfold").addEventListener("click", () => foldAll(true));
  document.getElementById("fold").addEventListener("click", () => foldAll(false));
  search.addEventListener("input", filter);
  boxes.forEach((box) => box.addEventListener("change", filter));
  modules.forEach((module) => module.addEventListener("toggle", () => drawIn(module)));
  new ResizeObserver(drawAll).observe(document.body);
  filter();
})();

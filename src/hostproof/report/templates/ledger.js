"use strict";
(() => {
  const bar = document.querySelector("[data-filter]");
  const rows = [...document.querySelectorAll("tr[data-status]")];
  const channels = [...document.querySelectorAll("details[data-channel]")];
  const field = (name) => bar.querySelector(`[data-by="${name}"]`);
  const shown = bar.querySelector("[data-shown]");
  const unfolded = new Map(channels.map((channel) => [channel, channel.open]));
  const texts = new Map();
  let filtering = false;

  const text = (row) => {
    if (!texts.has(row)) texts.set(row, `${row.id} ${row.textContent}`.toLowerCase());
    return texts.get(row);
  };

  const apply = () => {
    const words = field("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = ["status", "threat", "presence"].map((key) => [key, field(key).value]).filter(([, value]) => value);
    const active = words.length > 0 || wanted.length > 0;
    let number = 0;
    for (const row of rows) {
      const fits = wanted.every(([key, value]) => row.dataset[key] === value) && words.every((word) => text(row).includes(word));
      row.hidden = !fits;
      if (fits) number += 1;
    }
    for (const channel of channels) {
      const any = channel.querySelector("tr[data-status]:not([hidden])") !== null;
      channel.hidden = active && !any;
      if (active) channel.open = any;
      else if (filtering) channel.open = unfolded.get(channel);
    }
    filtering = active;
    shown.textContent = active ? `${number} of ${rows.length} rows` : `${rows.length} rows`;
  };

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let node = target; node; node = node.parentElement) if (node.localName === "details") node.open = true;
    if (target.localName === "tr") for (const details of target.querySelectorAll("details")) details.open = true;
    target.scrollIntoView({ block: "center" });
  };

  let timer = 0;
  field("text").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, 120);
  });
  for (const key of ["status", "threat", "presence"]) field(key).addEventListener("change", apply);
  bar.querySelector("[data-unfold]").addEventListener("click", () => {
    const open = channels.some((channel) => !channel.hidden && !channel.open);
    for (const channel of channels) channel.open = open;
  });
  bar.hidden = false;
  apply();
  reveal();
  addEventListener("hashchange", reveal);
})();

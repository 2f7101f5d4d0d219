// What pages share that take photos: a place to drop them on, and turns in which they are sent.

const AT_ONCE = 2;

// Takes whatever is dropped anywhere on the page; the zone shows that it may be.
export function takeDrops(zone, take) {
  zone.classList.add("ready");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  });
}

// Does the work for each thing that is given to the function that this returns, two at a time; `atRest` after the last.
export function byTurns(work, atRest = () => {}) {
  const waiting = [];
  let running = 0;

  function next() {
    while (running < AT_ONCE && waiting.length) {
      running += 1;
      work(waiting.shift()).finally(() => {
        running -= 1;
        if (!running && !waiting.length) atRest();
        next();
      });
    }
  }

  return (things) => {
    waiting.push(...things);
    next();
  };
}

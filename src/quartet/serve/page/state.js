/** What a link to the page keeps, behind its `#`, and what the browser keeps. */

const LONGEST_TEXT = 4000; // characters of a text that a link may carry

let shown = read();

function read() {
  return new URLSearchParams(location.hash.slice(1));
}

/** A value of the link, or null. */
export const inLink = (name) => shown.get(name);

/** Change values of the link; empty ones leave it. Returns whether all of it is kept: a long text is not. */
export function putInLink(changes) {
  let whole = true;
  for (const [name, value] of Object.entries(changes)) {
    const fits = value.length <= LONGEST_TEXT;
    whole &&= fits;
    if (value && fits) shown.set(name, value);
    else shown.delete(name);
  }
  if (`#${shown}` !== location.hash) history.replaceState(null, "", shown.size ? `#${shown}` : location.pathname);
  return whole;
}

/** Call `restore` when the reader follows another link to the page. */
export function onOtherLink(restore) {
  addEventListener("hashchange", () => {
    shown = read();
    restore();
  });
}

/** A value that the browser keeps, or null; some browsers keep none. */
export function kept(name) {
  try {
    return localStorage.getItem(`quartet.${name}`);
  } catch {
    return null;
  }
}

/** Let the browser keep a value. */
export function keep(name, value) {
  try {
    if (value) localStorage.setItem(`quartet.${name}`, value);
    else localStorage.removeItem(`quartet.${name}`);
  } catch {
    // it is asked for again next time
  }
}

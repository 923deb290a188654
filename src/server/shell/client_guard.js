// Runs in every page before the client application, a WebAssembly module. Comment lines are not sent.
//
// 1. Hides nodes of browser extensions during hydration, which fails on nodes that the server did not send.
// 2. Stops the application after a failure, so that links and forms work as without JavaScript, and reports the failure.
(() => {
  const page = document.documentElement;
  // The stage of the application: "load", "hydration" or "running".
  let stage = "load";
  let failed = false;
  let hidden = 0;

  // The parser only appends nodes. All other changes, and all changes after parsing, come from extensions.
  let isParsed = false;
  const changes = [];
  const note = records =>
    changes.push(...records.filter(record => isParsed || record.nextSibling || record.removedNodes.length));
  const observer = new MutationObserver(note);
  observer.observe(page, { childList: true, subtree: true, characterData: true, characterDataOldValue: true });
  document.addEventListener("readystatechange", () => {
    note(observer.takeRecords());
    isParsed = true;
  }, { once: true });

  // Reverts changes to the hydrated part of the page. Returns a function that restores the added nodes. Nodes in the
  // head and at the end of the body are not hydrated and stay.
  const hideForeignNodes = () => {
    note(observer.takeRecords());
    observer.disconnect();
    const { head, body } = document;
    const foreign = new Set();
    const moved = new Set();
    for (const { addedNodes, removedNodes } of changes) {
      addedNodes.forEach(node => moved.has(node) || foreign.add(node));
      removedNodes.forEach(node => foreign.has(node) || moved.add(node));
    }
    const isWithinForeign = node => node && (foreign.has(node) || isWithinForeign(node.parentNode));
    // Wrappers around nodes of the page, as translators add them. Restoring these would show the nodes twice.
    const wrappers = new Set([...foreign].filter(node => [...moved].some(part => node.contains(part))));
    const isAtEnd = node => !node || (foreign.has(node) && isAtEnd(node.nextSibling));
    const restore = [];
    for (const { type, target, oldValue, addedNodes, removedNodes, nextSibling } of changes.reverse()) {
      const isHarmless = target === page || head.contains(target) || isWithinForeign(target);
      if (isHarmless || (target === body && !removedNodes.length && isAtEnd(nextSibling))) continue;
      if (type === "characterData") target.data = oldValue;
      addedNodes.forEach(node => {
        if (node.parentNode !== target) return;
        hidden += 1;
        if (foreign.has(node) && !wrappers.has(node)) restore.unshift([node, target, node.previousSibling]);
        node.remove();
      });
      removedNodes.forEach(node => {
        if (!foreign.has(node)) target.insertBefore(node, nextSibling?.parentNode === target ? nextSibling : null);
      });
    }
    return () => restore.forEach(([node, parent, previous]) =>
      parent.insertBefore(node, previous?.parentNode === parent ? previous.nextSibling : parent.firstChild));
  };

  const report = error => {
    const { name, stack } = Object(error);
    // Only offsets in the module: other parts of a stack may contain addresses with secrets.
    const offsets = String(stack).match(/wasm-function\[\d+\]:0x[\da-f]+/g) ?? [];
    const module = document.querySelector("link[rel=modulepreload]")?.href ?? "";
    const body = new URLSearchParams({
      stage,
      error: name ?? "",
      offsets: offsets.slice(0, 8).join(" "),
      path: location.pathname,
      build: module.slice(module.lastIndexOf("/") + 1),
      foreign_nodes: hidden,
    });
    fetch("/api/client_failure", { method: "POST", body, keepalive: true }).catch(() => {});
  };

  // Makes the page usable without the application.
  const repair = () => {
    page.dataset.clientFailed = stage;
    document.querySelectorAll("[aria-busy=true], [aria-disabled=true]").forEach(control => {
      control.removeAttribute("aria-busy");
      control.removeAttribute("aria-disabled");
    });
    if (stage !== "running") return;
    // The content is hidden because the session may have ended, which only the server knows. Reloads only once.
    const isHidden = document.querySelector("[data-covered], .screen.gone");
    if (isHidden && performance.getEntriesByType("navigation")[0]?.type !== "reload") return location.reload();
    const message = document.createElement("p");
    message.className = "client-failed";
    message.setAttribute("role", "alert");
    message.append("Part of this page stopped working. What you typed is kept, and links and buttons still work. If you were "
      + "just changing something, check whether it was done. ");
    const link = document.createElement("a");
    // The full address, since a path with two leading slashes would name another host. Without the fragment, with which the
    // link would only scroll.
    [link.href] = location.href.split("#");
    link.append("Reload the page");
    message.append(link);
    document.body.append(message);
    document.querySelectorAll("dialog[open]").forEach(dialog => dialog.close());
  };

  const fail = error => {
    if (failed) return;
    failed = true;
    report(error);
    // After the failed call has returned.
    setTimeout(repair);
  };

  // Wraps every call into the module, including event handlers, timers and promises. After a failure no call is made, so that
  // no handler prevents the browser's default action. The glue code reads 0 or nothing from the empty list.
  const guard = (name, call) => (...args) => {
    if (failed) return [];
    let restore = () => {};
    try {
      if (name === "hydrate") {
        stage = "hydration";
        restore = hideForeignNodes();
      }
      const result = call(...args);
      if (name === "hydrate") stage = "running";
      return result;
    } catch (error) {
      fail(error);
      throw error;
    } finally {
      restore();
    }
  };
  for (const method of ["instantiateStreaming", "instantiate"]) {
    const original = window.WebAssembly?.[method];
    if (!original) continue;
    WebAssembly[method] = async (...args) => {
      const { module, instance } = await original(...args);
      const exports = {};
      for (const [name, value] of Object.entries(instance.exports)) {
        exports[name] = typeof value === "function" ? guard(name, value) : value;
      }
      return { module, instance: { exports } };
    };
  }
  // The module could not be loaded or may not run.
  addEventListener("unhandledrejection", event => {
    if (stage === "load") fail(event.reason);
  });
})();

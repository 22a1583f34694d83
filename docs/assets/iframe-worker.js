/* Pages from the file system may start no Worker. There, the theme's search runs in a hidden frame instead, with the
   parts of a Worker that it uses: postMessage, onmessage, importScripts. */
(() => {
  if (location.protocol !== "file:") return;
  const loaded = (page, url) => new Promise((done, failed) => {
    const script = page.createElement("script");
    Object.assign(script, { src: url, onload: done, onerror: failed });
    page.body.append(script);
  });
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const { contentWindow: inside, contentDocument: page } = this.frame;
      inside.importScripts = (...urls) => urls.reduce((before, next) => before.then(() => loaded(page, next)), Promise.resolve());
      inside.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        this.onmessage?.(event);
      };
      this.ready = loaded(page, new URL(url, location.href).href);
    }
    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() {
      this.frame.remove();
    }
  };
})();

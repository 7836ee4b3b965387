// With several workers, one has made the page and knows it; the others turn its socket away. It
// knocks again, quickly. Where nobody knows the page any more, it is loaded again.
addEventListener("load", () => {
  const knocks = 8;
  let refused = 0;
  window.socket.io.reconnectionDelay(50);
  window.socket.io.reconnectionDelayMax(500);
  window.socket.on("connect", () => { refused = 0; });
  window.socket.on("connect_error", async () => {
    refused += 1;
    if (refused > knocks && (await fetch("/livez")).ok) location.reload();
  });
});

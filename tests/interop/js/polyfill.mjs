// Node 20 lacks Promise.withResolvers, which js-libp2p uses. Loaded with --import; does nothing on Node 22.
if (typeof Promise.withResolvers !== 'function') {
  Promise.withResolvers = function () {
    let resolve, reject
    const promise = new this((yes, no) => { resolve = yes; reject = no })
    return { promise, resolve, reject }
  }
}

from __future__ import annotations
from typing import NamedTuple
import numpy as np
from scipy.special import betaln, gammaln

RATES = np.r_[np.geomspace(1e-5, 0.1, 17), np.linspace(0.15, 0.95, 17)]
TIES = np.geomspace(2, 2000, 10)
SPREADS = np.geomspace(0.09, 900, 13)
ALPHAS = np.geomspace(0.5, 500, 13)
TINY = 1e-40
FLOOR = 1e-3

class Found(NamedTuple):
    rate: np.ndarray
    transition: np.ndarray
    posterior: np.ndarray
    trace: np.ndarray

def pick(rng, logw):
    w = np.exp(logw - logw.max()); w = w.cumsum()
    return int(np.searchsorted(w, rng.random() * w[-1]))

def gam(rng, a):
    # log gamma, safe for small shapes
    return np.log(rng.standard_gamma(a + 1)) + np.log1p(-rng.random(a.shape)) / a

def dirichlet(rng, a):
    l = gam(rng, a); l -= l.max(-1, keepdims=True); p = np.exp(l) + TINY
    return p / p.sum(-1, keepdims=True)

def sample(log_true, log_given, given, trusted_log, truth, seed=0, sweeps=600, burn=300, direction=True, calib=True, balance=True, trace=True, keep=2, coarse=np.inf, right=None, alpha_max=500., alpha_fix=None):
    """dense version. log_true [N,K], given [N], trusted_log [M,K], truth [M]"""
    rng = np.random.default_rng(seed)
    N, K = log_true.shape
    M = len(truth)
    n = N + M
    p = np.exp(np.concatenate([log_true, trusted_log]))
    p = (1 - FLOOR) * p + FLOOR / K
    logp = np.log(p)
    d = p.argmax(1)
    rows = np.arange(N)
    offset = np.zeros(K)
    if balance and M:
        prior = p[:N].mean(0)
        share = (np.bincount(truth, minlength=K)) / M
        offset = np.where(share > 0, share / prior, 0)
    h = np.exp(log_given[:N])
    if right is not None:
        h = np.maximum(h - p[:N] * right, 0) + 0.02 / K
    hw = np.minimum(h[rows, given][:, None] / np.maximum(h.sum(1, keepdims=True) - h, 1e-6), 1.0)
    eta = 1.0 if np.isinf(coarse) else coarse / (coarse + N)
    wt = np.r_[np.full(N, eta), np.ones(M)]
    ALPHAS = np.geomspace(0.5, alpha_max, 13)
    own = np.zeros((N, K), bool); own[rows, given] = True
    grid_rho, grid_kap = (g.ravel() for g in np.meshgrid(RATES, TIES))
    ga, gb = (grid_rho * grid_kap)[:, None], ((1 - grid_rho) * grid_kap)[:, None]
    glp = -K * betaln(ga, gb)[:, 0]
    off = ~np.eye(K, dtype=bool)
    # state
    W = np.ones((K, K)); logb = 0.0; e = np.full(K, 0.3); omega = np.where(off, 1 / (K - 1), 0.0); q = 0.1 if direction else 0.0
    alpha = 5.0; rho_i = 0; ka, kb = 1.0, 1.0
    S = np.exp(np.exp(logb) * logp)
    cov = np.diag([.05, .05, .05]) ** 2; hist = []; scale = 1.0; acc = 0
    total = np.zeros((N, K)); rates = []; Ts = []; tr = []
    fac = np.ones((n, K)); fac[N:] = offset
    cells_d = (d[:, None] * K + np.arange(K)).ravel()
    def prior_mult(W, S):
        return W[d] * S * fac if M and balance else W[d] * S
    def lik(e, omega, q):
        L = e * ((1 - q) * omega.T[given] + q * hw)
        L[own] = (1 - e)[given]
        return L
    def total_ll(A, L):
        s = A.sum(1)
        ll = eta * (np.log((A[:N] * L).sum(1) + 1e-300).sum() - np.log(s[:N]).sum())
        if M:
            ll += np.log(A[N:][np.arange(M), truth] + 1e-300).sum() - np.log(s[N:]).sum()
        return ll
    A = prior_mult(W, S); L = lik(e, omega, q)
    rates_all = []
    for sweep in range(burn + sweeps):
        # collective move, z integrated
        ll = total_ll(A, L)
        step = scale * rng.multivariate_normal(np.zeros(3), cov)
        nb = logb + step[0]
        logit = np.log(e) - np.log1p(-e) + step[1]
        ne = 1 / (1 + np.exp(-logit)); ne = np.clip(ne, TINY, 1 - 1e-12)
        nW = np.where(off, W * np.exp(step[2]), W)
        nS = np.exp(np.exp(nb) * logp)
        nA = prior_mult(nW, nS); nL = lik(ne, omega, q)
        nll = total_ll(nA, nL)
        def lp(logb, e, W):
            v = -logb**2 / (2 * 0.5**2)
            v += (ka * np.log(e) + kb * np.log1p(-e)).sum()   # beta prior times jacobian e(1-e)
            v += (alpha * np.log(W[off]) - alpha * W[off]).sum()  # gamma prior in log coordinates
            return v
        if np.log(rng.random()) < nll - ll + lp(nb, ne, nW) - lp(logb, e, W):
            logb, e, W, S, A, L = nb, ne, nW, nS, nA, nL
            acc += 1
        # z
        P = A[:N] * L
        cum = P.cumsum(1)
        z = (cum < (rng.random(N) * cum[:, -1])[:, None]).sum(1)
        wrong = z != given
        if sweep >= burn:
            total += P / cum[:, -1:]
            rates.append(wrong.mean())
        # direction
        zi, yi = z[wrong], given[wrong]
        if direction:
            a = q * hw[wrong, zi]; bb = (1 - q) * omega[zi, yi]
            dirn = rng.random(len(zi)) < a / (a + bb)
            q = rng.beta(1 + eta * dirn.sum(), 1 + eta * (~dirn).sum())
        else:
            dirn = np.zeros(len(zi), bool)
        allc = eta * np.bincount(zi * K + yi, minlength=K * K).reshape(K, K)
        cnt = eta * np.bincount(zi[~dirn] * K + yi[~dirn], minlength=K * K).reshape(K, K)
        rt = eta * np.bincount(z[~wrong], minlength=K); bad = allc.sum(1)
        ev = glp + betaln(ga + bad, gb + rt).sum(1)
        g = pick(rng, ev); ka, kb = ga[g, 0], gb[g, 0]
        e = np.clip(rng.beta(ka + bad, kb + rt), TINY, 1 - 1e-12)
        cw = cnt[off].reshape(K, K - 1)
        conc = SPREADS / (K - 1)
        tot = cw.sum(1)
        ev = (gammaln(SPREADS)[:, None] - gammaln(SPREADS[:, None] + tot)).sum(1)
        nz = cw[cw > 0]
        ev += (gammaln(conc[:, None] + nz) - gammaln(conc)[:, None]).sum(1)
        sp = SPREADS[pick(rng, ev)]
        omega = np.zeros((K, K)); omega[off] = dirichlet(rng, sp / (K - 1) + cw).ravel()
        # calibration weights
        if calib:
            A = prior_mult(W, S)
            u = rng.standard_gamma(wt) / A.sum(1)
            B = np.bincount(cells_d, (S * fac * u[:, None]).ravel(), K * K).reshape(K, K)
            zz = np.concatenate([z, truth])
            nd = np.bincount(d * K + zz, wt, minlength=K * K).reshape(K, K)
            al = ALPHAS[:, None, None]
            ev = (al * np.log(al / (al + B)) - nd * np.log(al + B)).sum((1, 2))
            x = nd[nd > 0]
            ev += (gammaln(ALPHAS[:, None] + x) - gammaln(ALPHAS)[:, None]).sum(1)
            alpha = ALPHAS[pick(rng, ev)] if alpha_fix is None else alpha_fix
            W = np.exp(gam(rng, alpha + nd)) / (alpha + B)
            W *= (rng.standard_gamma(K * alpha, K) / alpha / W.sum(1))[:, None]
            W = np.maximum(W, 1e-30)
        A = prior_mult(W, S); L = lik(e, omega, q)
        hist.append((logb, np.log(e).mean(), np.log(W[off]).mean()))
        tr.append((logb, e.mean(), alpha, q, sp, ka / (ka + kb), wrong.mean()))
        if sweep < burn and sweep % 25 == 24:
            r = acc / 25; acc = 0
            scale *= np.exp(np.clip(2 * (r - 0.3), -.7, .7))
            if sweep >= 74:
                c = np.cov(np.array(hist[sweep // 3:]).T) + 1e-6 * np.eye(3)
                cov = c
        if sweep >= burn and (sweep - burn) % keep == 0:
            T = np.zeros((K, K)); T[off] = (e[:, None] * dirichlet(rng, sp / (K - 1) + allc[off].reshape(K, K - 1))).ravel()
            T[~off] = 1 - e
            Ts.append(T)
    return Found(np.array(rates), np.array(Ts), total / sweeps, np.array(tr))

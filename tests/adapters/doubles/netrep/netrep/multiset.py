# SPDX-License-Identifier: Apache-2.0
from itertools import combinations, product

import numpy as np
from tqdm import tqdm


def pairwise_distances(metric, traindata, testdata=None, verbose=True, enable_caching=False):
    train, test = np.zeros((2, len(traindata), len(traindata)))
    caches = [metric.partial_fit(item) for item in traindata] if enable_caching else None
    for i, j in tqdm([*combinations(range(len(traindata)), 2)], disable=not verbose):
        if enable_caching:
            metric.finalize_fit(caches[i], caches[j])
        else:
            metric.fit(traindata[i], traindata[j])
        train[i, j] = train[j, i] = metric.score(traindata[i], traindata[j])
        if testdata is not None:
            test[i, j] = test[j, i] = metric.score(testdata[i], testdata[j])
    return train if testdata is None else (train, test)


def cross_distances(metric, Xs, Ys, Xs_test=None, Ys_test=None, verbose=True):  # noqa: N803
    train, test = np.zeros((2, len(Xs), len(Ys)))
    for i, j in tqdm([*product(range(len(Xs)), range(len(Ys)))], disable=not verbose):
        metric.fit(Xs[i], Ys[j])
        train[i, j] = metric.score(Xs[i], Ys[j])
        if Xs_test is not None:
            test[i, j] = metric.score(Xs_test[i], Ys_test[j])
    return train if Xs_test is None else (train, test)
